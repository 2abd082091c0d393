/**
 * The table: keeps one row per player, moves rows to where they belong and shows what changed.
 * Nothing here knows about connections; it is given complete frames.
 * @module board
 */

/** @import { Diff, Entry, Snapshot } from "./scoreboard.js" */

const NUMBER = new Intl.NumberFormat("en");
const MOVE_MS = 480;
const FADE_MS = 2000;
const EASE = "cubic-bezier(0.2, 0.8, 0.2, 1)";
/** A score this long no longer fits beside a name in podium type. */
const LONG_SCORE = 11;

/**
 * @param {number} value
 * @returns {string}
 */
export const format = (value) => NUMBER.format(value);

/**
 * A creation helper: text always through `textContent`, never as markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/**
 * A stable colour for a player: the same on every screen, and never dependent on rank.
 * @param {string} id
 * @returns {number} hue in degrees
 */
export function hueOf(id) {
  let hash = 2166136261;
  for (const char of id) hash = Math.imul(hash ^ /** @type {number} */ (char.codePointAt(0)), 16777619);
  return (hash >>> 0) % 360;
}

/**
 * @param {string} name
 * @returns {string} one or two letters
 */
function initials(name) {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => [...word][0]) : [...name].slice(0, 2);
  return letters.join("").toUpperCase();
}

/**
 * @param {number} score
 * @param {number} leader
 * @returns {number} 1 for the leader, less the further away, whether high or low scores win
 */
function closeness(score, leader) {
  const [small, large] = [Math.abs(score), Math.abs(leader)].sort((a, b) => a - b);
  return large === 0 ? 1 : small / large;
}

/** One player's line. */
class Row {
  /** @param {Entry} entry */
  constructor(entry) {
    this.element = make("tr", "");
    this.element.setAttribute("role", "row");
    this.element.dataset.user = entry.user_id;
    this.element.style.setProperty("--hue", String(hueOf(entry.user_id)));

    const rank = this.#cell("td", "rank", "cell");
    this.place = rank.appendChild(make("span", "place"));
    this.move = rank.appendChild(make("span", "move"));
    const player = this.#cell("th", "player", "rowheader");
    this.avatar = player.appendChild(make("span", "avatar"));
    this.name = player.appendChild(make("bdi", "name"));
    this.you = player.appendChild(make("span", "you", "you"));
    const score = this.#cell("td", "score", "cell");
    this.gain = score.appendChild(make("span", "gain"));
    this.points = score.appendChild(make("span", "points"));
    for (const decoration of [this.move, this.avatar, this.gain]) decoration.ariaHidden = "true";
  }

  /**
   * @param {"td" | "th"} tag
   * @param {string} className
   * @param {string} role
   */
  #cell(tag, className, role) {
    const cell = this.element.appendChild(make(tag, className));
    cell.setAttribute("role", role);
    if (tag === "th") cell.setAttribute("scope", "row");
    return cell;
  }

  /**
   * @param {Entry} entry
   * @param {number} share How close to the leader, 0 to 1.
   * @param {boolean} isMe
   */
  fill(entry, share, isMe) {
    const points = format(entry.score);
    this.element.dataset.rank = String(entry.rank);
    this.element.style.setProperty("--share", share.toFixed(4));
    this.element.classList.toggle("me", isMe);
    this.element.classList.toggle("long", points.length > LONG_SCORE);
    this.place.textContent = format(entry.rank);
    this.avatar.textContent = initials(entry.name);
    this.name.textContent = entry.name;
    this.name.title = entry.name === entry.user_id ? entry.name : `${entry.name} (${entry.user_id})`;
    this.you.hidden = !isMe;
    this.points.textContent = points;
  }
}

/**
 * Shows a signed text for a while. A fade is no movement, so it stays under reduced motion.
 * @param {HTMLElement} element
 * @param {number} value
 * @param {string} text
 */
function flash(element, value, text) {
  for (const running of element.getAnimations()) running.cancel();
  element.textContent = text;
  element.classList.toggle("up", value > 0);
  element.classList.toggle("down", value < 0);
  const fade = element.animate([{ opacity: 1 }, { opacity: 1, offset: 0.6 }, { opacity: 0 }], { duration: FADE_MS });
  fade.onfinish = () => (element.textContent = "");
}

/** The body of the table. */
export class BoardView {
  /** @type {Map<string, Row>} */ #rows = new Map();
  #body;

  /** @param {HTMLElement} body */
  constructor(body) {
    this.#body = body;
  }

  /**
   * @param {Snapshot} snapshot
   * @param {Diff} diff Against what is on the screen now, which may be several frames ago.
   * @param {{ me: string, motion: boolean, flashes: boolean }} how `me`: the user to highlight; `motion`: rows may
   *     travel; `flashes`: show what changed (not after a pause, when it would be a wall of old news).
   */
  render(snapshot, diff, { me, motion, flashes }) {
    const before = motion ? this.#tops() : new Map();
    this.#place(snapshot, me);
    if (motion) this.#travel(before);
    if (flashes) this.#flash(diff);
  }

  /** @param {string} me */
  highlight(me) {
    for (const [id, row] of this.#rows) {
      row.element.classList.toggle("me", id === me);
      row.you.hidden = id !== me;
    }
  }

  /**
   * @param {Snapshot} snapshot
   * @param {string} me
   */
  #place({ entries }, me) {
    const gone = new Set(this.#rows.keys());
    entries.forEach((entry, index) => {
      const row = this.#rows.get(entry.user_id) ?? new Row(entry);
      this.#rows.set(entry.user_id, row);
      gone.delete(entry.user_id);
      row.fill(entry, closeness(entry.score, entries[0].score), entry.user_id === me);
      if (this.#body.children[index] !== row.element) {
        this.#body.insertBefore(row.element, this.#body.children[index] ?? null);
      }
    });
    for (const id of gone) {
      this.#rows.get(id)?.element.remove();
      this.#rows.delete(id);
    }
  }

  /** @returns {Map<string, number>} where each row is drawn at this moment, a running movement included */
  #tops() {
    return new Map([...this.#rows].map(([id, row]) => [id, row.element.getBoundingClientRect().top]));
  }

  /**
   * FLIP: the rows are already where they belong; each is shown where it was and then let go.
   * @param {Map<string, number>} before
   */
  #travel(before) {
    for (const row of this.#rows.values()) {
      // Only movements of the row itself; the transition of its bar and the fades inside it go on.
      for (const running of row.element.getAnimations()) if (running.id === "flip") running.cancel();
    }
    const after = this.#tops();
    for (const [id, row] of this.#rows) {
      const was = before.get(id);
      const distance = was === undefined ? 0 : was - /** @type {number} */ (after.get(id));
      row.element.classList.toggle("rising", distance > 1);
      if (was === undefined && before.size > 0) {
        row.element.animate([{ opacity: 0, transform: "translateY(1rem)" }, {}], { id: "flip", duration: MOVE_MS, easing: EASE });
      } else if (Math.abs(distance) > 1) {
        row.element.animate([{ transform: `translateY(${distance}px)` }, {}], { id: "flip", duration: MOVE_MS, easing: EASE });
      }
    }
  }

  /** @param {Diff} diff */
  #flash(diff) {
    for (const [id, change] of diff.changed) {
      const row = this.#rows.get(id);
      if (!row) continue;
      if (change.score) flash(row.gain, change.score, (change.score > 0 ? "+" : "−") + format(Math.abs(change.score)));
      if (change.rank) flash(row.move, change.rank, (change.rank > 0 ? "▲" : "▼") + format(Math.abs(change.rank)));
    }
  }
}
