import { decimal } from "./words.js";

// How old something is, judged here: what the message says, what it was late by, and the time since it came.

// Two clocks: one stops while the computer sleeps, the other may be set. The greater time counts.
export function stamp() {
  return { steady: performance.now(), wall: Date.now() };
}

export function since(when) {
  return Math.max(performance.now() - when.steady, Date.now() - when.wall, 0);
}

const DRIFT = 0.001; // each clock may be slewed by 500 ppm

// What an event was late by, measured against the fastest one of its connection: a burst after a stall is old.
export class Lateness {
  #least = null;
  #when = null;

  of(sentAt) {
    const offset = performance.now() - sentAt;
    const widened = this.#least === null ? Infinity : this.#least + DRIFT * since(this.#when);
    this.#least = Math.min(offset, widened);
    this.#when = stamp();
    return offset - this.#least;
  }
}

export function inWords(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 1) return `${Math.round(milliseconds)} ms`;
  if (seconds < 100) return `${seconds < 10 ? decimal(seconds, 1) : Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
