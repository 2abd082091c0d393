/**
 * What the page says about its connection: the pill in the top bar, the notice above the board, the age of the data.
 * @module status
 */

/** @import { StateChange } from "./scoreboard.js" */

/** Reconnections that are routine or over before one could read about them are not worth a word. */
const GRACE_MS = 1200;
const ROUTINE = new Set(["max_age", "quiet", "token_expired"]);

/**
 * @param {number} ms
 * @returns {string} as a person would say it
 */
export function age(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s ago`;
  if (seconds < 99.5) return `${Math.round(seconds)} s ago`;
  if (seconds < 5970) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

/** @typedef {{ look: string, word: string, notice: string }} Wording */

/**
 * @param {StateChange} change
 * @returns {Wording} `look` names the style of the pill; an empty notice shows none
 */
export function wording({ state, reason, retryInMs }) {
  const wait = `${Math.max(1, Math.round(retryInMs / 1000))} s`;
  if (state === "live") return { look: "live", word: "live", notice: "" };
  if (state === "connecting") return { look: "connecting", word: "connecting", notice: "" };
  if (state === "draining") {
    return { look: "draining", word: "draining", notice: "The server is restarting, back in a moment." };
  }
  if (state === "closed") {
    return { look: "closed", word: "closed", notice: "The server does not offer this board. Reload the page to try again." };
  }
  if (reason === "overload") {
    return { look: "overload", word: "server full", notice: `The server has no room for another screen; trying again in ${wait}.` };
  }
  return { look: "reconnecting", word: "reconnecting…", notice: "Connection lost. Reconnecting…" };
}

/** Keeps pill, notice and age up to date. */
export class StatusView {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #grace;
  #changedAt = Number.NaN;
  #parts;

  /** @param {Record<"pill" | "word" | "age" | "notice" | "board" | "announce", HTMLElement>} parts */
  constructor(parts) {
    this.#parts = parts;
    setInterval(() => document.hidden || this.#tick(), 200);
  }

  /** A frame has arrived. */
  fresh() {
    this.#changedAt = performance.now();
    this.#tick();
  }

  /** @param {StateChange} change */
  show(change) {
    clearTimeout(this.#grace);
    if (ROUTINE.has(change.reason)) this.#grace = setTimeout(() => this.#apply(change), GRACE_MS);
    else this.#apply(change);
  }

  /** @param {StateChange} change */
  #apply(change) {
    const { look, word, notice } = wording(change);
    const { pill, word: label, notice: strip, board, announce } = this.#parts;
    if (pill.dataset.state !== look) announce.textContent = notice || (pill.dataset.state === "connecting" ? "" : "Live again.");
    pill.dataset.state = look;
    label.textContent = word;
    strip.textContent = notice;
    strip.hidden = notice === "";
    board.toggleAttribute("data-stale", look !== "live");
  }

  #tick() {
    if (!Number.isNaN(this.#changedAt)) this.#parts.age.textContent = `· ${age(performance.now() - this.#changedAt)}`;
  }
}
