import { Lateness, inWords, since, stamp } from "./ages.js";
import { decimal, language, switchLanguage, t, translatePage } from "./words.js";
import { histogram, hourPlot, html, icon, signedBar } from "./draw.js";
import { daysPlot, outageList, outagesInWords, spanPlot, strip } from "./past.js";

const SILENT_AFTER = 2500; // ms; the dashboard says something at least once a second
const RECONNECT_AFTER = 6000;
const SHORTEST = 7; // points of the last hour's picture: a minute
const PAST_EVERY = 60_000; // a row is added each minute
const LIVE_WITHIN = 1000; // up to here an age is not worth a number

const byId = (id) => document.getElementById(id);
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (value) => grouped.format(value).replaceAll(",", "\u202f");
const watts = (value) => count(Math.round(value)).replace("-", "\u2212").replace(/^\u22120$/, "0");

let source = null;
let lateness = new Lateness();
let heard = stamp(); // when anything came from the dashboard
let tried = stamp(); // when a connection was begun last
let connected = false;
let state = null;
let chosen = decodeURIComponent(location.hash.slice(1));
const histories = new Map();
let span = "hour"; // or "day", "week": what the picture of power shows
let past = null;
let pastDue = 0; // when it is fetched again
let stateBefore = "";
const lives = new Map(); // by meter: the newest, with when it came

function connect() {
  source?.close();
  tried = stamp();
  lateness = new Lateness();
  source = new EventSource(`events?lang=${language}`);
  const on = (name, take) => source.addEventListener(name, (event) => {
    heard = stamp();
    connected = true;
    take(JSON.parse(event.data));
  });
  on("history", (told) => { histories.set(told.meter, told); drawPlot(); });
  on("point", takePoint);
  on("live", (told) => { takeLive(told, lateness.of(told.at)); drawLive(); });
  on("state", (told) => {
    const late = lateness.of(told.at);
    state = told;
    for (const meter of Object.values(told.meters)) takeLive(meter.live, late);
    drawState();
  });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000); };
}

function takeLive(told, late) {
  const before = lives.get(told.meter);
  // An old message keeps the values that were there, so that the page can say what was, and when.
  const values = told.fresh ? told.values : before?.values ?? {};
  lives.set(told.meter, { ...told, values, late, came: stamp() });
}

function takePoint(told) {
  const history = histories.get(told.meter) ?? { slots: 360, step_s: 10, points: new Array(359).fill(null) };
  history.points.push(told.point);
  while (history.points.length > history.slots - 1) history.points.shift();
  history.slot = told.slot + 1;
  histories.set(told.meter, history);
  drawPlot();
}

const meterNow = () => state?.meters[chosen];
const liveNow = () => lives.get(chosen);

function ageNow() {
  const live = liveNow();
  return live === undefined || live.age_ms === null ? null : live.age_ms + live.late + since(live.came);
}

// "live", "old", or "unknown" while nothing has come yet. What the page itself sees beats what it was told.
function freshness() {
  const live = liveNow(), age = ageNow();
  if (since(heard) > SILENT_AFTER) return connected ? "old" : "unknown";
  if (live === undefined || (age === null && !live.fresh)) return "unknown";
  return live.fresh && age !== null && age <= state.old_after_ms ? "live" : "old";
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Replaces what an element holds only if it would show something else: no flicker, no lost selection.
const shown = new Map();
function show(id, key, make) {
  const text = JSON.stringify(key);
  if (shown.get(id) === text) return;
  shown.set(id, text);
  byId(id).replaceChildren(...make());
}

function drawVerdict() {
  const fresh = freshness(), silent = since(heard) > SILENT_AFTER;
  let verdict = state?.verdict ?? { state: "unknown", text: t`Connecting to the dashboard.` };
  let note = "";
  if (silent && connected) {
    verdict = { state: "bad", text: t`This page has lost its dashboard: what it shows is old. Trying again.` };
  } else if (silent) {
    verdict = { state: "bad", text: t`The dashboard does not answer. Trying again.` };
  } else if (fresh === "old" && verdict.state !== "bad") {
    verdict = { state: "bad", text: t`The meter's data arrives too late: the values are old.` };
  }
  if (fresh === "old") {
    const age = ageNow();
    note = silent ? t`Last message from it ${inWords(since(heard))} ago.` : age === null ? "" : t`Last values ${inWords(age)} ago.`;
  }
  document.body.dataset.fresh = fresh;
  document.body.dataset.lost = silent && connected ? "yes" : "no";
  document.body.dataset.state = verdict.state;
  byId("verdict").dataset.state = verdict.state;
  setText(byId("sentence"), verdict.text);
  setText(byId("since"), note);
  byId("verdict").querySelector("use").setAttribute("href", `#i-${verdict.state}`);
  document.title = `${fresh === "live" ? `${watts(liveNow().values.power ?? 0)} W` : fresh === "old" ? t`old` : "\u2026"} \u00b7 KSEM AirBridge`;
}

function drawLive() {
  drawVerdict();
  const fresh = freshness(), live = liveNow(), age = ageNow(), power = live?.values.power;
  const known = power !== undefined;
  const flow = fresh !== "live" || !known ? "none" : power > 5 ? "in" : power < -5 ? "out" : "none";
  document.body.dataset.flow = flow;
  byId("pill").textContent = fresh === "unknown" ? t`waiting` : fresh === "old" ? `${t`old`}${age === null ? "" : `, ${inWords(age)}`}`
    : age > LIVE_WITHIN ? t`${inWords(age)} old` : "live";
  setText(byId("watts"), fresh === "live" && known ? watts(Math.abs(power)) : "\u2013");
  byId("watts").dataset.watts = fresh === "live" && known ? power : "";
  setText(byId("direction"), fresh === "live" && known
    ? { in: t`from the grid`, out: t`into the grid`, none: t`nothing flows` }[flow]
    : known ? power < 0 ? t`was ${watts(Math.abs(power))} W into the grid` : t`was ${watts(Math.abs(power))} W from the grid` : "\u00a0");
  byId("arrow").setAttribute("d", { in: "M96 42h126M210 32l12 10-12 10", out: "M222 42H96M108 32L96 42l12 10", none: "" }[flow]);
  const frequency = live?.values.frequency;
  setText(byId("frequency"), fresh === "live" && frequency !== undefined ? `${decimal(frequency, 2)} Hz` : "\u2013");
  drawPhases(fresh === "live" ? live.values : {});
}

let most = 1000; // W at the end of a phase's bar; grows and stays
function drawPhases(values) {
  const phases = ["l1", "l2", "l3"].map((phase) => [phase.toUpperCase(), values[`power_${phase}`], values[`voltage_${phase}`], values[`current_${phase}`]]);
  for (const phase of phases) while (Math.abs(phase[1] ?? 0) > most) most *= 2;
  show("phases", [phases, most], () => phases.map(([name, power, voltage, current]) =>
    html("div", { class: "phase" }, html("b", {}, name),
      html("div", { class: "row" }, html("b", { class: power < 0 ? "out" : "in" }, power === undefined ? "\u2013" : `${watts(Math.abs(power))} W`),
        html("span", { class: "quiet" }, voltage === undefined ? "" : `${decimal(voltage, 1)} V`),
        html("span", { class: "quiet" }, current === undefined ? "" : `${decimal(Math.abs(current), 2)} A`)),
      signedBar(power ?? 0, most))));
}

function drawState() {
  const names = Object.keys(state.meters);
  if (!names.includes(chosen)) chosen = names[0] ?? "";
  byId("meters").hidden = names.length < 2;
  show("meters", [names, chosen], () => names.map((name) => {
    const button = html("button", { type: "button", "aria-pressed": name === chosen }, name);
    button.addEventListener("click", () => { chosen = name; history.replaceState(null, "", `#${encodeURIComponent(name)}`); drawState(); drawPlot(); drawPast(); });
    return button;
  }));
  byId("faults").hidden = state.faults.length === 0;
  show("faults", state.faults, () => state.faults.map((fault) =>
    html("li", { "data-severity": fault.severity }, html("span", { class: "where quiet" }, fault.where),
      html("b", {}, fault.text), html("span", { class: "quiet" }, fault.remedy),
      fault.details.length === 0 ? null : html("details", {}, html("summary", {}, t`Details`), ...fault.details.map((one) => html("p", { class: "quiet" }, one))))));
  setText(byId("version"), `KSEM AirBridge ${state.version}`);
  if (state.verdict.state !== stateBefore) pastDue = Math.min(pastDue, Date.now() + 2000); // an outage began or ended
  stateBefore = state.verdict.state;
  drawLive();
  drawEnergy();
  drawChains();
  drawAsks();
  drawTimes();
  drawTcp();
  drawBlocks();
}

function drawEnergy() {
  const meter = meterNow(), today = meter?.today;
  show("energy", [today, meter?.counters], () => {
    const item = (kind, name, part, counter) => [html("dt", {}, html("span", { class: `key ${kind}` }), name),
      html("dd", {}, today ? decimal(part, 2) : "\u2013", html("small", {}, " kWh"),
        html("span", {}, counter === undefined ? "" : t`${count(counter)} kWh in all`))];
    const since = !today ? t`No reading yet.` : today.since === "00:00" ? "" : t`Since ${today.since}, when this service first saw the counters.`;
    return [html("dl", { class: "sums" },
      html("div", {}, ...item("in", t`from the grid`, today?.imported, meter?.counters.energy_import)),
      html("div", {}, ...item("out", t`into the grid`, today?.exported, meter?.counters.energy_export))),
    html("p", { class: "quiet under" }, since)];
  });
}

function drawPlot() {
  const told = histories.get(chosen), place = byId("plot");
  const width = place.clientWidth;
  if (span !== "hour") {
    if (past?.meter === chosen && width >= 50) place.replaceChildren(spanPlot(past[span], span, width, (value) => `${watts(value)} W`));
    return;
  }
  if (!told || width < 50) return;
  const live = liveNow(), now = freshness() === "live" ? live?.values.power : undefined;
  const all = [...told.points, now === undefined ? null : [now, now, now]];
  // In the first hour the axis begins at the first point: a nearly empty picture shows nothing.
  const first = all.findIndex((point) => point !== null);
  const points = first < 0 ? all : all.slice(Math.min(first, all.length - SHORTEST));
  // So many minutes between two times that they don't touch on a phone.
  const minutes = (points.length * told.step_s / 60) * 56 / Math.max(width - 76, 56);
  const every = ([1, 2, 5, 10, 15, 30].find((one) => one >= minutes) ?? 60) * 60_000;
  const known = points.filter((point) => point !== null);
  const moment = (index) => Date.now() - (points.length - 1 - index) * told.step_s * 1000;
  const clock = (index) => new Date(moment(index)).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const quarters = points.map((_, index) => index).filter((index) => moment(index) % every < told.step_s * 1000);
  const label = known.length === 0 ? t`No power measured in the last hour`
    : t`Power of the last hour, between ${watts(Math.min(...known.map((point) => point[0])))} and ${watts(Math.max(...known.map((point) => point[2])))} W`;
  place.replaceChildren(hourPlot(points, told.step_s, width, 190, { label, quarters, watts: (value) => `${watts(value)} W`, time: clock }));
}

async function fetchPast() {
  pastDue = Date.now() + PAST_EVERY;
  const meter = chosen;
  try {
    const answer = await fetch(`history.json?meter=${encodeURIComponent(meter)}&lang=${language}`);
    if (!answer.ok) return;
    past = await answer.json();
  } catch {
    return; // the dashboard is away: the page says so
  }
  drawPast();
}

function drawPast() {
  if (past?.meter !== chosen) { pastDue = 0; return; }
  if (span !== "hour") drawPlot();
  const days = byId("days"), outages = byId("strip");
  if (days.clientWidth < 50) return;
  days.replaceChildren(daysPlot(past, days.clientWidth, byId("days-sum")));
  outages.replaceChildren(strip(past, outages.clientWidth));
  setText(byId("outages-sum"), outagesInWords(past));
  show("outages", past.outages, () => outageList(past));
  setText(byId("stored"), past.is_stored ? "" : t`. Kept in memory alone: it begins anew with the dashboard.`);
  for (const link of document.querySelectorAll("[data-table]")) link.href = `history/${link.dataset.table}.csv?meter=${encodeURIComponent(chosen)}`;
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    span = button.dataset.span;
    for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", one === button);
    byId("plot").replaceChildren();
    drawPlot();
  });
}

function drawChains() {
  const chains = meterNow()?.chains ?? [];
  show("chains", chains, () => chains.map((chain) => {
    const row = html("div", { class: "chain" });
    chain.parts.forEach((part, index) => {
      row.append(html("div", { class: "part", "data-condition": part.condition },
        html("div", { class: "icon" }, icon(part.kind)), html("b", {}, part.name), html("span", {}, [part.id, part.text].filter(Boolean).join(": "))));
      const link = chain.links[index];
      if (link) row.append(html("div", { class: "link", "data-condition": link.condition },
        html("span", { class: "above" }, html("b", {}, link.name), link.rate ? ` ${link.rate}` : ""),
        html("span", { class: "below" }, link.age && `${link.age} ${link.age_of}`)));
    });
    return row;
  }));
}

const ofMeter = () => Object.entries(state.nodes).map(([name, node]) => ({ name, ...node }))
  .filter((node) => node.units.some((unit) => unit.meter === chosen));

function table(columns, rows) {
  const cell = (tag, column, content, style) => html(tag, { class: [column.number ? "n" : "", style ?? ""].join(" ").trim() || null, scope: tag === "th" ? "col" : null }, content);
  return html("div", { class: "scroll" }, html("table", {},
    html("thead", {}, html("tr", {}, ...columns.map((column) => cell("th", column, column.name)))),
    html("tbody", {}, ...rows.map((row) => html("tr", {}, ...row.map(([content, style], index) => cell("td", columns[index], content, style)))))));
}

// What a request got, in an owner's words.
const OUTCOMES = { data: t`fresh data`, stale: t`no answer: data too old`, silent: t`no answer`, other: t`something else` };
const outcome = (name) => OUTCOMES[name] ?? (name.startsWith("exception-") ? t`refused (${name.replace("-", " ")})` : name);
const lastSeen = (node) => (node.seen_ms === null ? t`The RTU server does not run.` : t`The RTU server was last seen ${inWords(Math.max(1000, node.seen_ms))} ago.`);

// How long the inverter got nothing, and mostly why.
function withoutData(node) {
  if (!node.no_data) return null;
  const { today, days } = node.no_data;
  const [most] = Object.entries(days.reasons).sort((one, other) => other[1] - one[1]);
  const length = (period) => (period.seconds ? inWords(1000 * Math.max(1, Math.round(period.seconds))) : "0 s");
  const why = most ? t`, mostly: ${most[0].replaceAll("-", " ")} (${length({ seconds: most[1] })})` : "";
  return html("p", { class: "quiet under" }, t`${node.name}: without data for ${length(today)} today, ${length(days)} in 30 days${why}.`);
}

function drawAsks() {
  const nodes = ofMeter();
  const key = nodes.map((node) => [node.name, node.status, node.units, node.no_data, node.requests.map((one) => [one.start, one.count, one.per_s, one.last]), node.runs || lastSeen(node)]);
  show("asks", key, () => nodes.length === 0 ? [html("p", { class: "quiet" }, t`No RTU server serves this meter.`)] : nodes.flatMap((node) => {
    const rows = node.requests.filter((one) => one.meter === chosen).slice(0, 8).map((one) => [
      [one.count > 1 ? `${one.start}\u2013${one.start + one.count - 1}` : `${one.start}`], [`${one.count}`], [`${decimal(one.per_s, 1)}/s`],
      [outcome(one.last), one.last === "data" ? "good" : "poor"]]);
    const units = node.units.filter((unit) => unit.meter === chosen).map((unit) => {
      const refused = Object.entries(unit.refused).map(([reason, times]) => `${count(times)} ${outcome(reason)}`).join(", ");
      return html("p", { class: "quiet under" }, t`${node.name}, ${unit.line}, unit ${unit.unit}: ${count(unit.data)} of ${count(unit.requests)} requests got data${refused ? `; ${refused}` : ""}.`);
    });
    const asked = !node.runs ? html("p", { class: "quiet" }, lastSeen(node)) : rows.length === 0 ? html("p", { class: "quiet" }, t`The inverter requests nothing at the moment.`)
      : table([{ name: t`registers` }, { name: t`count`, number: true }, { name: t`rate`, number: true }, { name: t`gets` }], rows);
    return [asked, ...units, withoutData(node)].filter(Boolean);
  }));
}

const unitsOf = (part) => Object.entries(state.nodes).flatMap(([name, node]) => node[part].filter((unit) => unit.meter === chosen).map((unit) => [name, unit]));
const ms = (value) => (value < 10 ? decimal(value, 1) : String(Math.round(value)));

function drawTimes() {
  const units = unitsOf("units");
  const key = units.map(([name, unit]) => [name, unit.line, unit.unit, unit.turnaround_ms, unit.age_ms, unit.turnaround_histogram_ms, unit.age_histogram_ms]);
  show("times", key, () => units.length === 0 ? [html("p", { class: "quiet" }, t`Nothing measured yet.`)] : units.flatMap(([name, unit]) => {
    const group = (title, times, told, kind) => {
      if (times.p50 === null) return html("div", {}, html("h3", {}, title), html("p", { class: "quiet" }, t`Nothing measured yet.`));
      const lately = t`half within ${ms(times.p50)} ms, 99 % within ${ms(times.p99)} ms, longest ${ms(times.max)} ms`;
      const bound = (value) => (value < 1000 ? `${value}` : `${value / 1000} s`);
      return html("div", {}, html("h3", {}, title),
        told === null ? null : histogram(told, kind, { label: `${title}: ${lately}`, bound, number: (answers) => t`${count(answers)} answers` }),
        html("p", { class: "quiet" }, t`Lately ${lately}.`));
    };
    const told = unit.turnaround_histogram_ms;
    return [units.length > 1 ? html("p", { class: "quiet" }, t`${name}, ${unit.line}, unit ${unit.unit}`) : null,
      html("div", { class: "pair" },
        group(t`From the request to the answer, in ms`, unit.turnaround_ms, told, "fill-bar"),
        group(t`Age of the data at the inverter, in ms`, unit.age_ms, unit.age_histogram_ms, "fill-out")),
      told === null || unit.turnaround_ms.p50 === null ? null : html("p", { class: "quiet" }, t`Columns: all ${count(told.counts.at(-1))} answers since the RTU server's start.`)];
  }).filter((one) => one !== null));
}

function lacks(unit) {
  if (unit.reasons.some((one) => one.code === "unit-silenced")) return t`silent`;
  if (unit.reasons.some((one) => one.code === "unit-off")) return t`switched off`;
  return unit.port.state === "up" ? t`no fresh data` : t`shut`;
}

function drawTcp() {
  const served = unitsOf("tcp");
  byId("tcp-card").hidden = served.length === 0;
  const rows = served.map(([name, unit]) => {
    const refused = Object.entries(unit.refused).map(([reason, times]) => `${count(times)} ${outcome(reason)}`).join(", ");
    const stands = unit.state === "unknown" ? [t`not known`, ""] : unit.state === "ok" ? [t`open`, "good"] : [lacks(unit), "wrong"];
    return [[`${name}, ${unit.line}`], [`${unit.unit}`], stands, [count(unit.requests)], [count(unit.data)], [refused || "\u2013", refused ? "poor" : ""],
      [unit.turnaround_ms.p99 === null ? "\u2013" : `${ms(unit.turnaround_ms.p99)} ms`], [unit.age_ms.p50 === null ? "\u2013" : `${ms(unit.age_ms.p50)} ms`],
      [unit.last_ago_ms === null ? t`never` : unit.last_ago_ms < 15_000 ? t`now` : t`${inWords(Math.round(unit.last_ago_ms / 10_000) * 10_000)} ago`]];
  });
  show("tcp", rows, () => [table([{ name: t`server` }, { name: t`unit` }, { name: t`state` }, { name: t`requests`, number: true }, { name: t`got data`, number: true },
    { name: t`refused`, number: true }, { name: t`99 % within`, number: true }, { name: t`data old`, number: true }, { name: t`last request`, number: true }], rows)]);
}

const BLOCKS = { live: t`power, voltage, current`, energy: t`energy counters`, device: t`about the meter`, sunspec: "SunSpec" };
const BY = { push: t`sent by the meter`, poll: t`read from the meter` };

function drawBlocks() {
  const blocks = meterNow()?.blocks ?? [];
  const rows = blocks.map((block) => {
    const old = block.limit_ms !== null && block.age_ms !== null && block.age_ms > block.limit_ms;
    return [[BLOCKS[block.name] ?? block.name], [BY[block.source] ?? block.source], [block.age_ms === null ? "\u2013" : inWords(block.age_ms < 1000 ? Math.round(block.age_ms / 50) * 50 : Math.round(block.age_ms / 1000) * 1000), old ? "wrong" : ""]];
  });
  show("blocks", rows, () => rows.length === 0 ? [html("p", { class: "quiet" }, t`None has come yet.`)]
    : [table([{ name: t`registers` }, { name: t`how it came` }, { name: t`age`, number: true }], rows)]);
}

setInterval(() => {
  drawLive();
  if (state && connected && !document.hidden && Date.now() >= pastDue) fetchPast();
  if (since(heard) > RECONNECT_AFTER && since(tried) > RECONNECT_AFTER) connect();
}, 250);
document.addEventListener("visibilitychange", () => { if (!document.hidden && since(heard) > SILENT_AFTER) connect(); });
window.addEventListener("hashchange", () => { chosen = decodeURIComponent(location.hash.slice(1)); if (state) { drawState(); drawPlot(); drawPast(); } });
new ResizeObserver(() => { drawPlot(); drawPast(); }).observe(byId("plot"));
translatePage();
byId("language").addEventListener("click", switchLanguage);
connect();
