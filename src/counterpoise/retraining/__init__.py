"""Whether a retrained model takes the champion's place: evidence, the gate, its history, and the champion's monitor.

evidence = collect(y, s, first=…, champion=…, challenger=…, groups=2, classes=2)  # y is −1 where a label is late
level = level_of("v7", records, gate)                                             # spent once per challenger
decision = decide(evidence, gate, level=level, looks=looks_at("v7", records))
records = append(records, record_of(decision, …))                                 # one record a week
"""
