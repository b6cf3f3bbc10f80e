import { t } from "./words.js";

// Elements and pictures. Text goes in as text alone: nothing that came over MQTT is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function icon(name) {
  return svg("svg", { "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

// A bar from the middle: to the right what is taken, to the left what is fed in.
export function signedBar(value, most) {
  const share = most > 0 ? Math.min(1, Math.abs(value) / most) * 50 : 0;
  return svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 8, rx: 1 }),
    svg("rect", { class: value < 0 ? "fill-out" : "fill-in", x: value < 0 ? 50 - share : 50, width: share, height: 8 }),
    svg("rect", { class: "axis", x: 49.8, width: 0.4, height: 8 }));
}

// Columns of equal width, one for each bucket of a histogram: `counts` up to each bound of `le` and, last, of all.
export function histogram(told, kind, words) {
  const all = told.counts.at(-1);
  const parts = told.counts.map((count, index) => count - (told.counts[index - 1] ?? 0));
  const most = Math.max(...parts, 1), wide = 100 / parts.length;
  const picture = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": words.label });
  parts.forEach((part, index) => {
    const high = part === 0 ? 0 : Math.max(3, 100 * part / most); // a rare one is seen too
    const from = told.le[index - 1] ?? 0, to = told.le[index];
    const span = to === undefined ? t`over ${from} ms` : index === 0 ? t`up to ${to} ms` : t`${from} to ${to} ms`;
    const column = svg("rect", { class: "space", x: index * wide, y: 0, width: wide, height: 100 },
      svg("title", {}, `${span}: ${words.number(part)}, ${(100 * part / Math.max(all, 1)).toFixed(1)} %`));
    picture.append(column, svg("rect", { class: kind, x: (index + 0.08) * wide, y: 100 - high, width: 0.84 * wide, height: high }));
  });
  const ticks = told.le.map((bound) => html("span", {}, words.bound(bound))); // each below the right edge of its column
  return html("div", { class: "histogram" }, picture, html("div", { class: "ticks quiet", "aria-hidden": "true" }, ...ticks, html("span")));
}

// A round step that divides `span` into about `count` parts.
export function niceStep(span, count) {
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const part = rough / power;
  return (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10) * power;
}

const LEFT = 68, RIGHT = 8, TOP = 10, BOTTOM = 24;

// The hour: points are [least, mean, greatest] or null, the last one is the present.
export function hourPlot(points, stepSeconds, width, height, words) {
  const known = points.filter((point) => point !== null);
  const low = Math.min(0, ...known.map((point) => point[0]));
  const high = Math.max(0, ...known.map((point) => point[2]));
  const step = niceStep(Math.max(high - low, 200), 4);
  const bottom = Math.floor(low / step) * step, top = Math.max(Math.ceil(high / step) * step, bottom + step);
  const x = (index) => LEFT + (width - LEFT - RIGHT) * index / Math.max(1, points.length - 1);
  const y = (watts) => TOP + (height - TOP - BOTTOM) * (top - watts) / (top - bottom);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words.label });
  picture.append(svg("defs", {},
    svg("clipPath", { id: "above" }, svg("rect", { x: 0, y: 0, width, height: Math.max(0, y(0)) })),
    svg("clipPath", { id: "below" }, svg("rect", { x: 0, y: y(0), width, height: Math.max(0, height - y(0)) }))));
  for (let watts = bottom; watts <= top + step / 2; watts += step) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(watts), y2: y(watts) }),
      svg("text", { x: LEFT - 8, y: y(watts) + 4, "text-anchor": "end" }, words.watts(watts)));
  }
  for (const index of words.quarters) {
    const anchor = x(index) > width - 24 ? "end" : x(index) < LEFT + 16 ? "start" : "middle";
    picture.append(svg("text", { x: x(index), y: height - 6, "text-anchor": anchor }, words.time(index)));
  }
  for (const run of runs(points)) {
    const line = run.map((index) => `${x(index).toFixed(1)} ${y(points[index][1]).toFixed(1)}`).join("L");
    const over = run.map((index) => `${x(index).toFixed(1)} ${y(points[index][2]).toFixed(1)}`);
    const under = run.map((index) => `${x(index).toFixed(1)} ${y(points[index][0]).toFixed(1)}`).reverse();
    for (const [side, clip] of [["in", "above"], ["out", "below"]]) {
      picture.append(
        svg("path", { class: `band ${side}`, d: `M${[...over, ...under].join("L")}Z`, "clip-path": `url(#${clip})` }),
        svg("path", { class: `curve ${side}`, d: `M${line}`, "clip-path": `url(#${clip})` }));
    }
  }
  picture.append(svg("line", { class: "zero", x1: LEFT, x2: width - RIGHT, y1: y(0), y2: y(0) }));
  readAtPointer(picture, points, x, width, words);
  return picture;
}

function readAtPointer(picture, points, x, width, words) {
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: 166, visibility: "hidden" });
  const reading = svg("text", { class: "reading", y: TOP + 4, visibility: "hidden" });
  picture.append(cursor, reading);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const place = (event.clientX - box.left) * width / box.width;
    const index = Math.round((place - LEFT) / (width - LEFT - RIGHT) * (points.length - 1));
    const point = points[index];
    const shown = point ? "visible" : "hidden";
    cursor.setAttribute("visibility", shown);
    reading.setAttribute("visibility", shown);
    if (!point) return;
    cursor.setAttribute("x1", x(index));
    cursor.setAttribute("x2", x(index));
    const right = x(index) > width / 2;
    reading.setAttribute("x", x(index) + (right ? -8 : 8));
    reading.setAttribute("text-anchor", right ? "end" : "start");
    reading.textContent = `${(words.reading ?? words.time)(index)}  ${words.watts(point[1])}`;
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    reading.setAttribute("visibility", "hidden");
  });
}

// Stretches without a gap.
function runs(points) {
  const found = [];
  points.forEach((point, index) => {
    if (point === null) return;
    if (index > 0 && points[index - 1] !== null) found[found.length - 1].push(index);
    else found.push([index]);
  });
  return found;
}
