// Draw every figure from the JSON beside it, in the page's own text colour, and follow the reader's colour scheme.
const plots = [...document.querySelectorAll(".plot")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const PRINTED_TEXT = "#333333";
const PRINTED_WIDTH = 690; // what an A4 or a letter page holds between its margins, in CSS pixels
const textColour = () => getComputedStyle(document.documentElement).getPropertyValue("--figure-text").trim();
const relayout = (change) => plots.forEach((plot) => Plotly.relayout(plot, change));

for (const plot of plots) {
  const { data, layout } = JSON.parse(document.getElementById(plot.dataset.source).textContent);
  layout.font = { ...layout.font, color: textColour() };
  Plotly.newPlot(plot, data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}
dark.addEventListener("change", () => relayout({ "font.color": textColour() }));
addEventListener("beforeprint", () => relayout({ "font.color": PRINTED_TEXT, width: PRINTED_WIDTH }));
addEventListener("afterprint", () => relayout({ "font.color": textColour(), width: null, autosize: true }));
