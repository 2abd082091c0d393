/**
 * A live leaderboard in a few lines, for any page:
 *
 *     import { ScoreboardStream } from "/static/scoreboard.js";
 *     const stream = new ScoreboardStream({ boards: "global", limit: 10 });
 *     stream.on("snapshot", ({ snapshot }) => console.log(snapshot.entries));
 *     stream.on("state", ({ state }) => console.log(state));
 *
 * It wraps EventSource and adds what EventSource leaves out: it comes back after an HTTP error (EventSource
 * gives up for ever on anything but 200), obeys the server's `bye`, spreads its retries, notices a network that
 * returns, resumes where it was, and never passes on a frame older than one it has already passed on.
 *
 * No dependency and no build step; the types below are checked by TypeScript (`checkJs`).
 * @module scoreboard
 */

/**
 * One line of a leaderboard.
 * @typedef {object} Entry
 * @property {number} rank 1 is the leader.
 * @property {string} user_id
 * @property {string} name What to show; the user id where no name is known.
 * @property {number} score A whole number within ±(2^53 − 1).
 * @property {string} reached_at When this score was reached, ISO 8601 in UTC; earlier wins a tie.
 */

/**
 * A board at one version. Every frame is complete: nothing has to be merged, and a missed frame does not matter.
 * @typedef {object} Snapshot
 * @property {string} board
 * @property {string} season
 * @property {string} epoch Changes when the ranking was rebuilt; versions compare only within one epoch.
 * @property {number} version Grows with every change of the board.
 * @property {number} total Players on the whole board, not only those in `entries`.
 * @property {Entry[]} entries Best first.
 * @property {string | null} [next] Cursor of the following page, for `GET /api/leaderboard`.
 */

/**
 * - `connecting`: the first connection is under way
 * - `live`: connected
 * - `reconnecting`: the connection was lost; the next attempt is scheduled or under way
 * - `draining`: the server said that it is restarting; the next attempt is scheduled or under way
 * - `closed`: over, by `close()` or because the server refused in a way that no retry can change (reason `http_404`…)
 * @typedef {"connecting" | "live" | "reconnecting" | "draining" | "closed"} StreamState
 */

/**
 * @typedef {object} StateChange
 * @property {StreamState} state
 * @property {StreamState} previous
 * @property {string} reason Why: `open`, `network`, `quiet`, `http_<status>`, `client`, or what the server's `bye`
 *     said (`drain`, `overload`, `max_age`, `token_expired`).
 * @property {number} retryInMs Until the next attempt; 0 when none is scheduled.
 */

/**
 * @typedef {object} SnapshotChange
 * @property {Snapshot} snapshot
 * @property {Snapshot | null} previous The frame before it on the same board.
 */

/**
 * @typedef {object} Presence
 * @property {number} streams Screens connected to the server right now.
 */

/**
 * What `stream.on(type, …)` hands over, by type. `addEventListener` gets the same as `event.detail`.
 * @typedef {{ snapshot: SnapshotChange, state: StateChange, presence: Presence }} StreamEvents
 */

/**
 * @typedef {object} StreamOptions
 * @property {string | string[]} [boards] One to ten board ids; `global` unless told.
 * @property {number} [limit] Entries per board, 1 to 100; the server's default unless told.
 * @property {string} [base] Where the API is; `/api` unless told. Another origin must allow this one by CORS.
 * @property {boolean} [withCredentials] Send cookies to another origin.
 * @property {() => number} [random] Source of jitter, for tests; `Math.random` unless told.
 */

/**
 * How two frames of one board differ for a user who is in both.
 * @typedef {object} Change
 * @property {number} score Points gained (negative: lost).
 * @property {number} rank Places climbed (negative: dropped).
 */

/**
 * @typedef {object} Diff
 * @property {Map<string, Change>} changed By user id; only users in both frames whose score or rank differs.
 * @property {string[]} entered User ids that are only in the newer frame.
 * @property {string[]} left User ids that are only in the older frame.
 * @property {boolean} leaderChanged Somebody else is first now.
 */

const BASE_MS = 1000;
const CAP_MS = 30_000;
/** No server asks for more patience than this; a wrong number must not silence a screen for a day. */
const MAX_BYE_MS = 300_000;
/** A connection that lived this long counts as a success; a server that accepts and then falls over does not. */
const STABLE_MS = 5000;
/** A full server answers 200 and then says bye at once; only a stream that outlives this moment is called live. */
const SETTLE_MS = 300;
/**
 * The server's heartbeats are comments, which EventSource swallows: from in here a quiet board and a dead connection
 * look the same. Most dead connections are reported by the browser; for the rest the stream is reopened after this
 * long without any event. That costs one request and loses nothing, because it resumes from the last event id.
 */
const QUIET_MS = 180_000;
/** Refusals that the same request will meet again. */
const HOPELESS = new Set([400, 401, 403, 404, 410, 422]);

/**
 * Full jitter: a uniformly random wait below an exponentially growing bound, so that a crowd that was cut off together
 * does not come back together.
 * @param {number} attempt Failed attempts so far, from 0.
 * @param {() => number} [random]
 * @returns {number} milliseconds, at most 30 000
 */
export function backoffDelay(attempt, random = Math.random) {
  return Math.round(random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16)));
}

/**
 * How long to wait after a `bye`: never less than the server asked for, and up to a quarter more.
 * @param {number} retryMs
 * @param {() => number} [random]
 * @returns {number} milliseconds
 */
export function byeDelay(retryMs, random = Math.random) {
  const asked = Number.isFinite(retryMs) ? Math.min(Math.max(retryMs, 0), MAX_BYE_MS) : BASE_MS;
  return Math.round(asked * (1 + random() / 4));
}

/**
 * True if `next` would turn the clock back on a screen that shows `last`.
 * @param {Snapshot | null | undefined} last
 * @param {Snapshot} next
 * @returns {boolean}
 */
export function isStale(last, next) {
  return Boolean(last && last.epoch === next.epoch && next.version < last.version);
}

/**
 * What changed between two frames of one board.
 * @param {Snapshot | null} before
 * @param {Snapshot} after
 * @returns {Diff}
 */
export function diffSnapshots(before, after) {
  const old = new Map((before?.entries ?? []).map((entry) => [entry.user_id, entry]));
  /** @type {Diff} */
  const diff = { changed: new Map(), entered: [], left: [], leaderChanged: false };
  for (const entry of after.entries) {
    const was = old.get(entry.user_id);
    old.delete(entry.user_id);
    if (!was) diff.entered.push(entry.user_id);
    else if (was.score !== entry.score || was.rank !== entry.rank) {
      diff.changed.set(entry.user_id, { score: entry.score - was.score, rank: was.rank - entry.rank });
    }
  }
  diff.left = [...old.keys()];
  diff.leaderChanged = before !== null && before.entries[0]?.user_id !== after.entries[0]?.user_id;
  return diff;
}

/** A stream of one or more boards that stays open until `close()`. */
export class ScoreboardStream extends EventTarget {
  /** @type {EventSource | null} */ #source = null;
  /** @type {StreamState} */ #state = "connecting";
  /** @type {Map<string, Snapshot>} */ #latest = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #settleTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #stableTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #quietTimer;
  #lastEventId = "";
  #attempt = 0;
  #reason = "";
  #random;
  #boards;
  #options;

  /** @param {StreamOptions} [options] */
  constructor(options = {}) {
    super();
    this.#options = options;
    this.#boards = [options.boards ?? "global"].flat();
    this.#random = options.random ?? Math.random;
    globalThis.addEventListener?.("online", this.#online);
    this.#open();
  }

  /** @returns {StreamState} */
  get state() {
    return this.#state;
  }

  /**
   * The newest frame of a board, or null before the first one.
   * @param {string} [board] The first board of this stream unless told.
   * @returns {Snapshot | null}
   */
  latest(board = this.#boards[0]) {
    return this.#latest.get(board) ?? null;
  }

  /**
   * @template {keyof StreamEvents} K
   * @param {K} type
   * @param {(detail: StreamEvents[K]) => void} listener
   * @returns {() => void} stops listening
   */
  on(type, listener) {
    /** @param {Event} event */
    const handler = (event) => listener(/** @type {CustomEvent<StreamEvents[K]>} */ (event).detail);
    this.addEventListener(type, handler);
    return () => this.removeEventListener(type, handler);
  }

  /** Ends the stream for good. */
  close() {
    this.#end("client");
  }

  /** @returns {string} */
  #url() {
    const url = new URL(`${this.#options.base ?? "/api"}/leaderboard/stream`, globalThis.location?.href);
    for (const board of this.#boards) url.searchParams.append("board", board);
    if (this.#options.limit) url.searchParams.set("limit", String(this.#options.limit));
    // A new EventSource forgets the id of the one before it, and cannot be given a header.
    if (this.#lastEventId) url.searchParams.set("last_event_id", this.#lastEventId);
    return url.href;
  }

  #open() {
    this.#release();
    const source = new EventSource(this.#url(), { withCredentials: this.#options.withCredentials ?? false });
    this.#source = source;
    source.onopen = () => {
      this.#settleTimer = setTimeout(() => this.#becomeLive(), SETTLE_MS);
      this.#listenForSilence();
    };
    source.onerror = () => this.#failed(source.readyState === EventSource.CLOSED);
    source.addEventListener("snapshot", (event) => this.#snapshot(event));
    source.addEventListener("presence", (event) => this.#presence(event));
    source.addEventListener("bye", (event) => this.#bye(event));
  }

  /** Lets go of the connection and of everything that was waiting for it. */
  #release() {
    this.#source?.close();
    this.#source = null;
    for (const timer of [this.#retryTimer, this.#settleTimer, this.#stableTimer, this.#quietTimer]) {
      clearTimeout(timer);
    }
  }

  /** @param {MessageEvent<string>} event */
  #snapshot(event) {
    const snapshot = /** @type {Snapshot} */ (JSON.parse(event.data));
    this.#becomeLive();
    this.#listenForSilence();
    const previous = this.#latest.get(snapshot.board) ?? null;
    if (isStale(previous, snapshot)) return;
    this.#lastEventId = event.lastEventId || this.#lastEventId;
    this.#latest.set(snapshot.board, snapshot);
    this.#emit("snapshot", { snapshot, previous });
  }

  /** @param {MessageEvent<string>} event */
  #presence(event) {
    this.#listenForSilence();
    this.#emit("presence", JSON.parse(event.data));
  }

  /** @param {MessageEvent<string>} event */
  #bye(event) {
    const { reason, retry_ms: retryMs } = JSON.parse(event.data);
    // Closed from this side, now: left alone, EventSource would come back on its own clock and meet the closing door.
    this.#wait(byeDelay(retryMs, this.#random), reason);
  }

  /** @param {boolean} refused The browser gave up: most likely the answer was not 200. */
  async #failed(refused) {
    const delay = backoffDelay(this.#attempt, this.#random);
    this.#attempt += 1;
    if (!refused) return this.#wait(delay, "network");
    this.#release();
    const answer = await this.#askWhy();
    if (this.#state === "closed") return;
    if (!answer || answer.ok) return this.#wait(delay, "network");
    if (HOPELESS.has(answer.status)) return this.#end(`http_${answer.status}`);
    const retryAfter = Number(answer.headers.get("Retry-After")) * 1000;
    this.#wait(Math.max(delay, byeDelay(retryAfter, this.#random)), `http_${answer.status}`);
  }

  /** @returns {Promise<Response | null>} what EventSource does not tell: the status, without opening a stream */
  #askWhy() {
    const signal = AbortSignal.timeout(STABLE_MS);
    return fetch(this.#url(), { method: "HEAD", cache: "no-store", signal }).catch(() => null);
  }

  /**
   * @param {number} delay
   * @param {string} reason
   */
  #wait(delay, reason) {
    this.#release();
    this.#retryTimer = setTimeout(() => this.#open(), delay);
    this.#change(reason === "drain" ? "draining" : "reconnecting", reason, delay);
  }

  #becomeLive() {
    clearTimeout(this.#settleTimer);
    if (this.#state === "live") return;
    this.#stableTimer = setTimeout(() => (this.#attempt = 0), STABLE_MS);
    this.#change("live", "open");
  }

  #listenForSilence() {
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#wait(0, "quiet"), QUIET_MS * (1 + this.#random() / 4));
  }

  /** A network that has just come back: no reason to sit out the back-off. A server that asked for time still gets it. */
  #online = () => {
    if (this.#reason !== "network" || this.#source) return;
    this.#wait(backoffDelay(0, this.#random), "network");
  };

  /** @param {string} reason */
  #end(reason) {
    if (this.#state === "closed") return;
    this.#release();
    globalThis.removeEventListener?.("online", this.#online);
    this.#change("closed", reason);
  }

  /**
   * @param {StreamState} state
   * @param {string} reason
   * @param {number} [retryInMs]
   */
  #change(state, reason, retryInMs = 0) {
    const previous = this.#state;
    this.#state = state;
    this.#reason = reason;
    this.#emit("state", { state, previous, reason, retryInMs });
  }

  /**
   * @template {keyof StreamEvents} K
   * @param {K} type
   * @param {StreamEvents[K]} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
