// Say so where files beside this report come from another run. status.js, if it is there, says what lies there now.
{
  const embedded = JSON.parse(document.getElementById("artifacts").textContent);
  const present = window.counterpoiseStatus;
  const known = present !== null && typeof present === "object" ? present : {};
  const strangers = Object.keys(embedded).filter((name) => name in known && known[name] !== embedded[name]);
  if (strangers.length) {
    const banner = document.getElementById("strangers");
    banner.textContent = `Files beside this report come from another run and do not belong to it: ${strangers.join(", ")}.`;
    banner.hidden = false;
  }
}
