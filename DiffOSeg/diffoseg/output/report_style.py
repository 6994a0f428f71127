"""How the report looks, on a screen, in the dark and on paper, and how its slider moves."""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --dim: #59636e; --line: #d1d9e0;
  --panel: #f6f8fa; --alert: #7a3e00; --alert-page: #fff4e0; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --page: #0e1116; --text: #e8eaed; --dim: #a3abb5;
  --line: #333a44; --panel: #171b22; --alert: #ffc57a; --alert-page: #2b2010; --link: #79b8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 74rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p, ul { max-width: 46rem; margin: .5rem 0; }
a { color: var(--link); }
.dim, figcaption { color: var(--dim); font-size: .9rem; }
.alert { border-left: .3rem solid currentColor; background: var(--alert-page); color: var(--alert);
  padding: .6rem 1rem; margin: 1rem 0; max-width: none; font-weight: 600; }
.alert ul { margin: 0; padding-left: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; color: var(--dim); padding-bottom: .4rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
thead th { vertical-align: bottom; color: var(--dim); font-weight: 600; white-space: normal; }
th[scope=row], th:first-child { text-align: left; font-weight: 600; }
.facts { width: 100%; max-width: 46rem; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.name { display: inline-block; width: max-content; max-width: 16rem; vertical-align: middle;
  overflow-wrap: anywhere; white-space: normal; }
thead .name { width: auto; max-width: 6.5rem; overflow-wrap: break-word; }
.swatch { display: inline-block; width: 1.6rem; height: .55rem; margin-right: .5rem;
  vertical-align: middle; }
.whole { width: 100%; min-width: 44rem; height: auto; border-radius: .4rem; display: block; }
.controls { display: flex; flex-wrap: wrap; gap: .35rem 1.1rem; align-items: center;
  padding: .7rem 1rem; background: var(--panel); border: 1px solid var(--line);
  border-radius: .4rem; margin: .6rem 0; }
.controls label { display: inline-flex; align-items: center; gap: .4rem; }
.controls .swatch { margin: 0; }
.scroll { flex-basis: 100%; display: none; }
.scroll input { flex: 1; min-width: 8rem; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
.slices svg { display: block; width: 100%; background: #000; border-radius: .4rem; }
.slices path { fill: none; stroke-width: 1.6; vector-effect: non-scaling-stroke; }
.slices path.consensus { stroke-width: 3; }
.slices path.bar { stroke: #e8eaed; stroke-width: 3; }
.slices text { fill: #e8eaed; stroke: #0e1116; paint-order: stroke; font-weight: 700;
  font-family: system-ui, "DejaVu Sans", sans-serif; }
.one .scroll { display: flex; }
.one .slices { display: block; max-width: 40rem; }
.one .slices figure { display: none; }
.one .slices figure.now { display: block; }
@page { size: landscape; margin: 12mm; }
@media print { :root { --page: #fff; --text: #000; --dim: #444; --line: #bbb; --panel: #fff;
  --alert: #000; --alert-page: #fff; } body { max-width: none; padding: 0; font-size: 10pt; }
  table { font-size: 8.5pt; } th, td { padding: .2rem .35rem; } .wide { overflow: visible; }
  .controls { display: none; } .whole { max-height: 15cm; object-fit: contain; }
  .one .slices { max-width: 11cm; } h2 { break-after: avoid; }
  figure, table, tr { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

# Without this script all slices stand side by side; with it, one at a time.
SCRIPT = """
const box = document.getElementById("reader");
const slices = [...box.querySelectorAll(".slices figure")];
const slider = document.getElementById("slice");
const show = () => slices.forEach((f, i) => f.classList.toggle("now", i === +slider.value));
if (slices.length > 1) {
  box.classList.add("one");
  slider.addEventListener("input", show);
  const images = box.querySelector(".slices");
  images.addEventListener("click", () => slider.focus());
  images.addEventListener("wheel", event => {
    if (!event.deltaY || document.activeElement !== slider) return;  // the page scrolls until then
    event.preventDefault();
    slider.value = +slider.value + Math.sign(event.deltaY);
    show();
  }, { passive: false });
  show();
}
"""
