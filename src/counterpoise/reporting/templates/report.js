// Draw every figure from the JSON beside it, in the page's own text colour, and follow the reader's colour scheme.
const plots = [...document.querySelectorAll(".plot")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const PRINTED_TEXT = "#333333";
const PRINTED_WIDTH = 690; // what an A4 or a letter page holds between its margins, in CSS pixels
const NARROW = 600; // a figure of less width has its panels below each other, and its legend below them
const LEGEND_ROW = 24; // pixels
const [TICK_LETTERS, TITLE_LETTERS, NOTE_LETTERS] = [20, 26, 38]; // a line of a narrow figure
const textColour = () => getComputedStyle(document.documentElement).getPropertyValue("--figure-text").trim();
const drawn = () => plots.filter((plot) => plot.data);
const relayout = (change) => drawn().forEach((plot) => Plotly.relayout(plot, change));

// Axes of one kind, xaxis, xaxis2 …, with what their names end in.
const axes = (layout, kind) => Object.keys(layout).filter((key) => key.startsWith(kind)).map((key) => [key.slice(kind.length), layout[key]]);

// Panels that stand side by side come below each other: each takes the height that all had together.
function stackPanels(layout) {
  const panels = axes(layout, "xaxis").filter(([, axis]) => axis.domain);
  const rowOf = (suffix) => layout[`yaxis${suffix}`]?.domain;
  const rows = new Map();
  for (const [suffix, axis] of panels) {
    const domain = rowOf(suffix);
    if (!domain) return 1;
    const key = domain.join();
    rows.set(key, [...(rows.get(key) ?? []), { suffix, axis, domain }]);
  }
  const most = Math.max(...[...rows.values()].map((row) => row.length), 1);
  if (most === 1) return 1;
  const titles = (layout.annotations ?? []).filter((note) => note.xref === "paper" && note.yref === "paper");
  for (const row of rows.values()) {
    row.sort((left, right) => left.axis.domain[0] - right.axis.domain[0]);
    const [bottom, top] = row[0].domain;
    const step = (top - bottom) / row.length;
    const from = row.map(({ axis }) => axis.domain);
    row.forEach(({ suffix, axis }, place) => {
      const end = top - place * step, share = row.length > 1 ? 0.68 : 1;
      const yaxis = layout[`yaxis${suffix}`];
      for (const note of titles.filter((one) => one.x > from[place][0] && one.x < from[place][1] && Math.abs(one.y - top) < 1e-6))
        Object.assign(note, { moved: true, newX: 0.5, newY: end });
      axis.domain = [0, 1];
      yaxis.domain = [end - step * share, end];
      if (row.length > 1) { yaxis.showticklabels = true; delete axis.matches; }
    });
  }
  for (const note of titles.filter((one) => one.moved)) { note.x = note.newX; note.y = note.newY; delete note.moved; delete note.newX; delete note.newY; }
  return most;
}

// Long words of an axis or a heading in lines of so many letters; markup other than line breaks is left alone.
function wrapped(words, letters) {
  const plain = words.replaceAll("<br>", " ");
  if (plain.includes("<") || plain.length <= letters) return words;
  const lines = [""];
  for (const word of plain.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= letters) lines.push("");
    lines.push(`${lines.pop()} ${word}`.trim());
  }
  return lines.join("<br>");
}

// A narrow page: no legend and no bar at the side, small margins, and more height for what came below.
function narrowed(data, layout) {
  let height = layout.height ?? 450;
  const factor = stackPanels(layout);
  const entries = new Set(data.filter((trace) => trace.showlegend !== false).map((trace) => trace.name)).size;
  const legend = LEGEND_ROW * entries;
  const bar = layout.coloraxis?.colorbar ? 90 : 0;
  if (bar) Object.assign(layout.coloraxis.colorbar, { orientation: "h", x: 0.5, xanchor: "center", y: 0, yref: "container", yanchor: "bottom", len: 0.9, lenmode: "fraction" });
  let lines = 1;
  for (const [, axis] of axes(layout, "yaxis")) {
    axis.ticktext = axis.ticktext?.map((words) => wrapped(words, TICK_LETTERS));
    lines = Math.max(lines, ...(axis.ticktext ?? []).map((words) => words.split("<br>").length));
    axis.tickfont = { ...axis.tickfont, size: 10 };
  }
  for (const [, axis] of [...axes(layout, "xaxis"), ...axes(layout, "yaxis")])
    if (axis.title?.text) axis.title = { ...axis.title, text: wrapped(axis.title.text, TITLE_LETTERS), font: { size: 12 } };
  for (const note of layout.annotations ?? []) note.text = wrapped(note.text, NOTE_LETTERS);
  height *= Math.max(1, lines / 3);
  layout.height = height * (1 + 0.75 * (factor - 1)) + legend + bar;
  layout.margin = { ...layout.margin, l: 8, r: 8, b: 70 + legend + bar };
  layout.legend = { ...layout.legend, orientation: "h", x: 0, xref: "container", xanchor: "left", y: bar / layout.height, yref: "container", yanchor: "bottom" };
  layout.font = { ...layout.font, size: 11 };
}

function draw(plot) {
  if (plot.data) return;
  const { data, layout } = JSON.parse(document.getElementById(plot.dataset.source).textContent);
  const narrow = plot.clientWidth < NARROW;
  if (narrow) narrowed(data, layout);
  if (narrow) plot.style.minHeight = `${layout.height}px`;
  layout.font = { ...layout.font, color: textColour() };
  Plotly.newPlot(plot, data, layout, { responsive: true, displaylogo: false, displayModeBar: narrow ? false : undefined, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}

// What is folded up has no width yet: it is drawn once it is opened.
for (const plot of plots) {
  const fold = plot.closest("details:not([open])");
  if (fold) fold.addEventListener("toggle", () => fold.open && draw(plot));
  else draw(plot);
}
dark.addEventListener("change", () => relayout({ "font.color": textColour() }));
addEventListener("beforeprint", () => {
  plots.forEach(draw);
  relayout({ "font.color": PRINTED_TEXT, width: PRINTED_WIDTH });
});
addEventListener("afterprint", () => relayout({ "font.color": textColour(), width: null, autosize: true }));
