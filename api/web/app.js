/**
 * The live page: reads the address (`?board=`, `?limit=`, `?me=`), opens the stream and wires it to the views.
 * @module app
 */

import { BoardView, format, make } from "./board.js";
import { ScoreboardStream, diffSnapshots } from "./scoreboard.js";
import { StatusView } from "./status.js";

/** @import { Entry, Snapshot } from "./scoreboard.js" */
/** @typedef {{ id: string, name?: string, value_field?: string, writers?: string }} Board what is read of `GET /boards` */

const API = document.documentElement.dataset.api ?? "/api";
/** A busy board may change its leader many times a second; a listener hears of it at most this often. */
const ANNOUNCE_MS = 10_000;
/** A player who is not among the entries is looked up again after changes, at most this often. */
const LOOK_UP_MS = 5000;
/** What can be a user id at all; the server would refuse to look for anything else. */
const USER_ID = /^[A-Za-z0-9_][A-Za-z0-9_.:@|-]{0,63}$/;

const params = new URLSearchParams(location.search);
const boardId = params.get("board") || "global";
/** Without one the board's own rule says how many entries it shows. */
const limit = params.has("limit") ? Math.min(100, Math.max(1, Math.trunc(Number(params.get("limit"))) || 1)) : undefined;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = /** @type {HTMLInputElement} */ (byId("me"));
const view = new BoardView(byId("rows"));
const status = new StatusView({
  pill: byId("pill"), word: byId("pill-state"), age: byId("pill-age"), notice: byId("notice"), board: byId("board"), announce: byId("announce-state"),
});

/** @type {Board[]} */ let boards = [];
let me = (params.get("me") ?? "").trim();
/** @type {ScoreboardStream | null} */ let stream = null;
/** @type {Snapshot | null} */ let shown = null;
/** @type {Snapshot | null} */ let pending = null;
let wasHidden = document.hidden;

// ---- frames ----

/**
 * However many frames arrive, the page paints once per animation frame, and only the newest of them.
 * @param {Snapshot} snapshot
 */
function receive(snapshot) {
  status.fresh();
  if (!pending) requestAnimationFrame(paint);
  pending = snapshot;
}

function paint() {
  const snapshot = /** @type {Snapshot} */ (pending);
  pending = null;
  const diff = diffSnapshots(shown, snapshot);
  const seen = shown !== null && !wasHidden;
  view.render(snapshot, diff, { me, motion: seen && !calm.matches, flashes: seen });
  announceLeader(snapshot);
  describe(snapshot);
  shown = snapshot;
  wasHidden = document.hidden;
  followMe();
}

/** @param {Snapshot} snapshot */
function describe({ entries, total, season }) {
  byId("main").setAttribute("aria-busy", "false");
  byId("skeleton").hidden = true;
  byId("board").hidden = entries.length === 0;
  if (entries.length === 0) showEmpty();
  else byId("empty").hidden = true;
  byId("players").textContent = format(total);
  byId("lead").textContent = entries.length > 1 ? format(Math.abs(entries[0].score - entries[1].score)) : "–";
  byId("season").textContent = season === "current" ? "Live leaderboard" : `Live leaderboard · season ${season}`;
  byId("caption").textContent = `${byId("title").textContent} leaderboard, the top ${entries.length} of ${format(total)} players`;
}

let saidLeader = "";
let mayAnnounceAt = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */ let announcement;

/** @param {Snapshot} snapshot */
function announceLeader({ entries: [leader] }) {
  clearTimeout(announcement);
  if (!leader || leader.user_id === saidLeader) return;
  const first = saidLeader === "";
  announcement = setTimeout(() => {
    saidLeader = leader.user_id;
    // Who leads when the page opens is not news.
    if (first) return;
    mayAnnounceAt = performance.now() + ANNOUNCE_MS;
    byId("announce").textContent = `${leader.name} takes the lead with ${format(leader.score)} points.`;
  }, first ? 0 : mayAnnounceAt - performance.now());
}

// ---- a player of one's own ----

let lookedUpAt = Number.NEGATIVE_INFINITY;
/** @type {ReturnType<typeof setTimeout> | undefined} */ let lookUpLater;

/** @param {Entry | undefined} entry */
function showStanding(entry) {
  const standing = byId("standing");
  standing.hidden = !entry;
  if (!entry || !shown) return;
  standing.replaceChildren(
    make("b", "", `${entry.name}: ${format(entry.rank)} of ${format(shown.total)}`),
    make("span", "", `${format(entry.score)} points`),
  );
}

/**
 * Asked of the list rather than of `/leaderboard/users/{id}`: an unknown player is then an empty answer, not a 404,
 * which a browser would report as an error on the console.
 * @param {string} user
 * @returns {Promise<Entry | undefined | null>} null: the server could not be asked
 */
async function lookUp(user) {
  if (!USER_ID.test(user)) return undefined;
  lookedUpAt = performance.now();
  const query = new URLSearchParams({ board: boardId, users: user });
  try {
    const answer = await fetch(`${API}/leaderboard?${query}`);
    if (!answer.ok) return null;
    const found = /** @type {Snapshot} */ (await answer.json());
    return found.entries.find((entry) => entry.user_id === user);
  } catch {
    return null;
  }
}

/** After a change: keep the line under the board true for a player who is not on it. */
async function followMe() {
  const onBoard = shown?.entries.some((entry) => entry.user_id === me);
  clearTimeout(lookUpLater);
  if (!me || onBoard) return showStanding(undefined);
  if (stream?.state !== "live" || document.hidden) return;
  const tooSoon = lookedUpAt + LOOK_UP_MS - performance.now();
  // The last change of a burst must not be the one that is never looked at.
  if (tooSoon > 0) return void (lookUpLater = setTimeout(followMe, tooSoon));
  const user = me;
  const entry = await lookUp(user);
  if (user === me && entry !== null) showStanding(entry);
}

async function findMe() {
  me = input.value.trim();
  const url = new URL(location.href);
  if (me) url.searchParams.set("me", me);
  else url.searchParams.delete("me");
  history.replaceState(null, "", url);
  view.highlight(me);
  showStanding(undefined);
  if (!me) return void (byId("hint").textContent = "");
  const user = me;
  const near = shown?.entries.find((entry) => entry.user_id === user);
  const entry = near ?? (await lookUp(user));
  if (user !== me) return;
  byId("hint").textContent = entry
    ? `${entry.name} is at rank ${format(entry.rank)} with ${format(entry.score)} points.`
    : entry === null ? "The server cannot be asked right now." : `${user} has no score on this board yet.`;
  if (near) document.querySelector("tr.me")?.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
  else if (entry) showStanding(entry);
}

// ---- nothing to show ----

function showEmpty() {
  byId("empty-title").textContent = "Nobody has scored yet.";
  byId("empty-text").textContent = "The first score takes the lead. It will be here within a second, without a reload:";
  const forOthers = boards.find((board) => board.id === boardId)?.writers === "server";
  const field = boards.find((board) => board.id === boardId)?.value_field ?? "delta";
  const score = { [field]: 42, ...(boardId !== "global" && { board: boardId }), ...(forOthers && { user_id: "ada" }) };
  byId("curl").textContent = [
    `TOKEN=$(.venv/bin/scoreboard token --user ${forOthers ? "game --role server" : "ada"})`,
    `curl -X POST ${location.origin}${API}/scores \\`,
    '  -H "Authorization: Bearer $TOKEN" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${JSON.stringify(score)}'`,
  ].join("\n");
  byId("empty-code").hidden = false;
  byId("empty").hidden = false;
}

function showUnknownBoard() {
  byId("main").setAttribute("aria-busy", "false");
  byId("skeleton").hidden = true;
  byId("pill").hidden = true;
  byId("find").hidden = true;
  byId("stats").hidden = true;
  byId("empty-title").textContent = "There is no such board.";
  byId("empty-text").textContent = "It may have been renamed. The boards that exist are listed with the title.";
  byId("empty-code").hidden = true;
  byId("empty").hidden = false;
}

async function copyCurl() {
  const button = byId("copy");
  await navigator.clipboard.writeText(byId("curl").textContent ?? "");
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

// ---- boards and start ----

/** @returns {Promise<Board[]>} empty if the server could not be asked */
async function listBoards() {
  try {
    const answer = await fetch(`${API}/boards`);
    return answer.ok ? (await answer.json()).boards : [];
  } catch {
    return [];
  }
}

/** @param {string} title */
function entitle(title) {
  byId("title").textContent = title;
  document.title = `${title} · Scoreboard`;
}

function showBoards() {
  const name = boards.find((board) => board.id === boardId)?.name;
  if (name) entitle(name);
  byId("boards").hidden = boards.length < 2 && boards.some((board) => board.id === boardId);
  byId("boards").replaceChildren(...boards.map((board) => {
    const link = make("a", "", board.name ?? board.id);
    link.href = `?${new URLSearchParams({ board: board.id, ...(me && { me }) })}`;
    if (board.id === boardId) link.ariaCurrent = "page";
    return link;
  }));
}

function openStream() {
  stream = new ScoreboardStream({ boards: boardId, limit, base: API });
  stream.on("snapshot", ({ snapshot }) => receive(snapshot));
  stream.on("state", (change) => change.reason === "client" || status.show(change));
  stream.on("presence", ({ streams }) => (byId("screens").textContent = format(streams)));
}

async function start() {
  input.value = me;
  entitle(boardId.replace(/^./u, (first) => first.toUpperCase()));
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    findMe();
  });
  byId("copy").addEventListener("click", copyCurl);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) wasHidden = true;
    else if (shown) followMe();
  });
  // A page kept for the back button holds no connection.
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => event.persisted && openStream());

  // The usual board exists; any other is asked for first, because its stream would only say 404.
  if (boardId === "global") openStream();
  boards = await listBoards();
  showBoards();
  if (shown?.entries.length === 0) showEmpty();
  if (stream) return;
  if (boards.length > 0 && !boards.some((board) => board.id === boardId)) showUnknownBoard();
  else openStream();
}

start();
