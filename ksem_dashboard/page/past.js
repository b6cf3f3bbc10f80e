// Days and weeks: power, energy by day, outages. All times in the browser's own zone; days are those of the dashboard.
import { inWords } from "./ages.js";
import { hourPlot, html, niceStep, svg } from "./draw.js";
import { decimal, language, t } from "./words.js";

const DAY = 86_400_000;
const LEFT = 68, RIGHT = 8;

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
const date = (ms) => new Date(ms).toLocaleDateString(language, { day: "numeric", month: "short" });
const weekday = (ms) => new Date(ms).toLocaleDateString(language, { weekday: "short" });
const weekdayAndDate = (ms) => `${weekday(ms)} ${new Date(ms).getDate()}`;
const dayOf = (text) => new Date(`${text}T12:00`).getTime();
const kwh = (value) => `${decimal(value, value < 10 ? 2 : 1)} kWh`;
const length = (seconds) => (seconds < 5_400 ? inWords(1000 * Math.max(1, Math.round(seconds))) : seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : t`${Math.round(seconds / 86_400)} days`);

// Power of 24 hours or 7 days: `past` has begin (s), step_s and points.
export function spanPlot(past, name, width, watts) {
  const moment = (index) => 1000 * (past.begin + index * past.step_s);
  const every = name === "week" ? 24 : width < 500 ? 6 : 3; // hours between two times below
  const isTick = (index) => {
    const time = new Date(moment(index)), sinceMidnight = time.getHours() * 3600 + time.getMinutes() * 60;
    return sinceMidnight % (every * 3600) < past.step_s;
  };
  const known = past.points.filter((point) => point !== null);
  const words = name === "week" ? t`7 days` : t`24 hours`;
  const label = known.length === 0 ? tt`No power measured in the last ${words}`
    : t`Power of the last ${words}, between ${watts(Math.min(...known.map((point) => point[0])))} and ${watts(Math.max(...known.map((point) => point[2])))}`;
  return hourPlot(past.points, past.step_s, width, 190, {
    label, watts, quarters: past.points.map((_, index) => index).filter(isTick),
    time: (index) => (name === "week" ? (width < 500 ? weekday(moment(index)).slice(0, 2) : weekdayAndDate(moment(index))) : clock(moment(index))),
    reading: (index) => (name === "week" ? `${weekdayAndDate(moment(index))} ${clock(moment(index))}` : clock(moment(index))),
  });
}

// A pair of columns for each day: up what was taken, down what was fed in. `reading` shows the day pointed at.
export function daysPlot(past, width, reading) {
  const height = 170, top = 8, bottom = 22;
  const byDay = new Map(past.energy.map((one) => [one.day, one]));
  const high = Math.max(0, ...past.energy.map((one) => one.imported)), low = Math.max(0, ...past.energy.map((one) => one.exported));
  const step = niceStep(Math.max(high + low, 1), 4);
  const most = Math.max(step, Math.ceil(high / step) * step), least = -Math.ceil(low / step) * step;
  const y = (value) => top + (height - top - bottom) * (most - value) / (most - least);
  const wide = (width - LEFT - RIGHT) / past.days.length;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": sums(past) });
  for (let value = least; value <= most + step / 2; value += step) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, `${Math.abs(Math.round(100 * value) / 100)} kWh`));
  }
  const every = Math.ceil(62 / wide);
  past.days.forEach((day, index) => {
    const one = byDay.get(day), x = LEFT + index * wide, side = wide * 0.16, partly = one && !one.whole ? " partly" : "";
    if (one) {
      picture.append(svg("rect", { class: `fill-in${partly}`, x: x + side, width: wide - 2 * side, y: y(one.imported), height: y(0) - y(one.imported) }),
        svg("rect", { class: `fill-out${partly}`, x: x + side, width: wide - 2 * side, y: y(0), height: y(-one.exported) - y(0) }));
    }
    const space = svg("rect", { class: "space", x, width: wide, y: top, height: height - top - bottom }, svg("title", {}, ofDay(day, one)));
    space.addEventListener("pointerenter", () => { reading.textContent = ofDay(day, one); });
    space.addEventListener("pointerleave", () => { reading.textContent = sums(past); });
    picture.append(space);
    const back = past.days.length - 1 - index;
    if (back % every === 0) picture.append(svg("text", { x: x + wide / 2, y: height - 5, "text-anchor": back === 0 ? "end" : "middle", dx: back === 0 ? wide / 2 : 0 }, back === 0 ? t`today` : date(dayOf(day))));
  });
  picture.append(svg("line", { class: "zero", x1: LEFT, x2: width - RIGHT, y1: y(0), y2: y(0) }));
  reading.textContent = sums(past);
  return picture;
}

const ofDay = (day, one) => (one ? t`${date(dayOf(day))}: ${kwh(one.imported)} from the grid, ${kwh(one.exported)} into it${one.whole ? "" : t` (only a part of the day was seen)`}` : t`${date(dayOf(day))}: not known`);

function sums(past) {
  if (past.energy.length === 0) return t`No reading yet.`;
  const sum = (key) => kwh(past.energy.reduce((all, one) => all + one[key], 0));
  const partly = past.energy.some((one) => !one.whole) ? t` Pale columns: only a part of the day was seen.` : "";
  if (past.energy.length === 1) return t`In one day ${sum("imported")} from the grid, ${sum("exported")} into it.${partly}`;
  return t`In ${past.energy.length} days ${sum("imported")} from the grid, ${sum("exported")} into it.${partly}`;
}

// 30 days in one strip: green where all was well, grey where nobody watched, a mark for each outage.
export function strip(past, width) {
  const begin = 1000 * past.begin, end = 1000 * past.at, high = 28;
  const x = (ms) => Math.min(width, Math.max(0, width * (ms - begin) / (end - begin)));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${high + 20}`, height: high + 20, role: "img", "aria-label": outagesInWords(past) });
  picture.append(svg("rect", { class: "unwatched", width, height: high, rx: 4 }));
  for (const [from, until] of past.watched) {
    picture.append(svg("rect", { class: "watched", x: x(1000 * from), width: Math.max(1, x(1000 * until) - x(1000 * from)), height: high }));
  }
  for (const one of past.outages) {
    const from = x(1000 * one.begun), wide = Math.max(3, x(1000 * one.ended) - from);
    picture.append(svg("rect", { class: "outage", x: Math.min(from, width - wide), width: wide, height: high }, svg("title", {}, `${when(one)}: ${one.subject}. ${one.text}`)));
  }
  const every = Math.ceil(62 / (width / 30));
  const midnight = new Date(end).setHours(0, 0, 0, 0);
  for (let back = 0; back * DAY < end - begin; back += every) {
    const at = x(midnight - back * DAY);
    picture.append(svg("text", { x: at, y: high + 15, "text-anchor": at > width - 24 ? "end" : at < 24 ? "start" : "middle" }, back === 0 ? t`today` : date(midnight - back * DAY)));
  }
  return picture;
}

const when = (one) => `${date(1000 * one.begun)} ${clock(1000 * one.begun)}, ${one.is_over ? length(one.span_s) : t`until now`}${one.breaks > 1 ? t` (${one.breaks} times, ${length(one.down_s)} in all)` : ""}`;

export function outagesInWords(past) {
  const watched = past.watched.reduce((all, [from, until]) => all + Math.min(until, past.at) - Math.max(from, past.begin), 0);
  const seen = watched < 60 ? t`Nothing seen yet.` : t`Seen: ${length(watched)} of the last 30 days.`;
  if (past.outages.length === 0) return t`No outage. ${seen}`;
  const down = past.outages.reduce((all, one) => all + one.down_s, 0);
  if (past.outages.length === 1) return t`One outage, ${length(down)} without data. ${seen}`;
  return t`${past.outages.length} outages, ${length(down)} without data. ${seen}`;
}

// The newest outages in words: what a mark is too small to say, and what a finger can't point at.
export function outageList(past) {
  const rows = past.outages.slice(-8).reverse().map((one) => html("li", {}, html("b", {}, when(one)), ` ${one.subject}: ${one.text}`));
  return rows.length === 0 ? [] : [html("ul", { class: "list" }, ...rows)];
}
