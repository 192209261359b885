// Draw every figure from the JSON beside it, in the page's own text colour, and follow the reader's colour scheme.
const plots = [...document.querySelectorAll(".plot")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const PRINTED_TEXT = "#333333";
const textColour = () => getComputedStyle(document.documentElement).getPropertyValue("--figure-text").trim();
const recolour = (colour) => plots.forEach((plot) => Plotly.relayout(plot, { "font.color": colour }));

for (const plot of plots) {
  const { data, layout } = JSON.parse(document.getElementById(plot.dataset.source).textContent);
  layout.font = { ...layout.font, color: textColour() };
  Plotly.newPlot(plot, data, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}
dark.addEventListener("change", () => recolour(textColour()));
addEventListener("beforeprint", () => recolour(PRINTED_TEXT));
addEventListener("afterprint", () => recolour(textColour()));
