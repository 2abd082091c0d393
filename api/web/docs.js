/**
 * Renders /openapi.json for people. The description is the only source: what is not in it is not on the page.
 * @module docs
 */

/**
 * The parts of OpenAPI 3 that are read here.
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string | string[]} [type]
 * @property {string} [format]
 * @property {string} [description]
 * @property {unknown[]} [enum]
 * @property {unknown} [const]
 * @property {unknown} [default]
 * @property {unknown} [example]
 * @property {unknown[]} [examples]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {string} [pattern]
 * @property {Schema} [items]
 * @property {Schema[]} [oneOf]
 * @property {Schema[]} [anyOf]
 * @property {string[]} [required]
 * @property {Record<string, Schema>} [properties]
 *
 * @typedef {{ schema?: Schema, example?: unknown, examples?: Record<string, { value?: unknown }> }} Media
 * @typedef {{ $ref?: string, description?: string, required?: boolean, content?: Record<string, Media> }} Content
 * @typedef {{ $ref?: string, name: string, in: string, required?: boolean, description?: string, schema?: Schema, example?: unknown }} Parameter
 * @typedef {{ summary?: string, description?: string, security?: object[], parameters?: Parameter[], requestBody?: Content, responses?: Record<string, Content>, tags?: string[] }} Operation
 * @typedef {{ info: { title: string, version: string, description?: string }, security?: object[], paths: Record<string, Record<string, any>>, components?: { schemas?: Record<string, Schema> } }} OpenApi
 */

import { make } from "./board.js";

const VERBS = ["get", "post", "put", "patch", "delete"];
/** What people come for first; groups that are not named here follow. */
const GROUPS = ["scores", "leaderboard", "boards"];
/** What stands in an example where the description has none, by the name of the field. */
const SAMPLES = /** @type {Record<string, unknown>} */ ({
  board: "global", board_id: "global", id: "global", user_id: "ada", name: "ada", season: "current", epoch: "9f3c1a77",
  reached_at: "2026-11-24T20:16:54.123456Z", event_id: "0193a5c2-7d1e-7c3a-9b52-8d5f6f1e2a40", next: null,
});
/** @type {OpenApi} */ let api;

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * Follows `#/components/…`.
 * @template T
 * @param {T & { $ref?: string }} thing
 * @returns {T}
 */
function resolve(thing) {
  if (!thing?.$ref) return thing;
  const steps = thing.$ref.slice(2).split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return resolve(steps.reduce((/** @type {any} */ at, step) => at?.[step], api) ?? {});
}

/**
 * Paragraphs, with `code` between backticks.
 * @param {HTMLElement} parent
 * @param {string | undefined} text
 */
function prose(parent, text) {
  for (const paragraph of (text ?? "").split(/\n\s*\n/).filter((part) => part.trim())) inline(parent.appendChild(make("p", "")), paragraph);
}

/**
 * @param {HTMLElement} parent
 * @param {string} text
 */
function inline(parent, text) {
  text.split("`").forEach((part, index) => parent.append(index % 2 ? make("code", "", part) : part));
}

/**
 * @param {Schema} schema
 * @returns {string} such as "whole number, 1 to 100, default 10"
 */
function typeOf(schema) {
  const own = resolve(schema ?? {});
  const choices = own.oneOf ?? own.anyOf;
  if (choices) return choices.map(typeOf).join(" or ");
  const type = [own.type ?? "any"].flat().map((name) => (name === "integer" ? "whole number" : name)).join(" or ");
  const parts = [own.type === "array" && own.items ? `list of ${typeOf(own.items)}` : type];
  if (own.format && own.format !== "int64") parts.push(own.format);
  if (own.enum) parts.push(`one of ${own.enum.map((value) => JSON.stringify(value)).join(", ")}`);
  if (own.minimum !== undefined && own.maximum !== undefined) parts.push(`${own.minimum} to ${own.maximum}`);
  else if (own.minimum !== undefined) parts.push(`at least ${own.minimum}`);
  else if (own.maximum !== undefined) parts.push(`at most ${own.maximum}`);
  if (own.maxLength !== undefined) parts.push(`up to ${own.maxLength} characters`);
  if (own.default !== undefined && own.default !== null) parts.push(`default ${JSON.stringify(own.default)}`);
  return parts.join(", ");
}

/**
 * An example of a schema: the one it gives, else one made from its properties.
 * @param {Schema} schema
 * @param {string} [name] Of the field that it is for.
 * @returns {unknown}
 */
function exampleOf(schema, name = "") {
  const own = resolve(schema ?? {});
  const given = own.example ?? own.examples?.[0] ?? own.const ?? own.default ?? own.enum?.[0];
  if (given !== undefined) return given;
  if (name in SAMPLES) return SAMPLES[name];
  if (own.properties) return Object.fromEntries(Object.entries(own.properties).map(([key, part]) => [key, exampleOf(part, key)]));
  const choice = (own.oneOf ?? own.anyOf)?.[0];
  if (choice) return exampleOf(choice);
  const [type] = [own.type].flat();
  if (type === "array") return own.items ? [exampleOf(own.items)] : [];
  if (type === "integer" || type === "number") return Math.min(Math.max(own.minimum === 1 ? 1 : 42, own.minimum ?? 0), own.maximum ?? 42);
  if (type === "boolean") return false;
  return type === "object" ? {} : "…";
}

/**
 * @param {Content | undefined} content
 * @returns {[string, Media] | undefined} the JSON form if there is one
 */
function mediaOf(content) {
  const all = Object.entries(content?.content ?? {});
  return all.find(([type]) => type.includes("json")) ?? all[0];
}

/**
 * @param {Media} media
 * @returns {unknown}
 */
const mediaExample = (media) => media.example ?? Object.values(media.examples ?? {})[0]?.value ?? exampleOf(media.schema ?? {});

/**
 * A table of two columns: a name, and what there is to say about it.
 * @param {HTMLElement} parent
 * @param {string} title
 * @param {{ name: string, must?: boolean, kind?: string, text?: string }[]} rows
 */
function table(parent, title, rows) {
  if (rows.length === 0) return;
  parent.append(make("h4", "", title));
  const scroll = parent.appendChild(make("div", "scroll"));
  const body = scroll.appendChild(make("table", "")).appendChild(make("tbody", ""));
  for (const { name, must, kind, text } of rows) {
    const row = body.appendChild(make("tr", ""));
    const head = row.appendChild(make("th", ""));
    head.scope = "row";
    head.append(make("code", "", name));
    const cell = row.appendChild(make("td", ""));
    if (must) cell.append(make("span", "must", "required"), " ");
    if (kind) cell.append(make("small", "", kind));
    if (kind && text) cell.append(make("br", ""));
    inline(cell, text ?? "");
  }
}

/**
 * @param {HTMLElement} parent
 * @param {string} text
 * @param {string} label For those who cannot see what surrounds it.
 */
function code(parent, text, label) {
  const box = parent.appendChild(make("div", "code"));
  const pre = box.appendChild(make("pre", ""));
  pre.tabIndex = 0;
  pre.ariaLabel = label;
  pre.role = "group";
  pre.append(make("code", "", text));
  copyButton(box, text);
}

/**
 * @param {HTMLElement} box
 * @param {string} text
 */
function copyButton(box, text) {
  const button = box.appendChild(make("button", "", "Copy"));
  button.type = "button";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

/**
 * @param {Operation} operation
 * @returns {"" | "Needs" | "May carry"} whether it takes a token; an empty requirement among others makes it optional
 */
function tokenUse(operation) {
  const ways = operation.security ?? api.security ?? [];
  if (ways.length === 0) return "";
  return ways.every((way) => Object.keys(way).length > 0) ? "Needs" : "May carry";
}

/**
 * @param {string} verb
 * @param {string} path
 * @param {Operation} operation
 * @param {Parameter[]} parameters
 * @returns {string} a command that can be pasted into a shell
 */
function curlOf(verb, path, operation, parameters) {
  const stream = mediaOf(resolve(operation.responses?.["200"] ?? {}))?.[0] === "text/event-stream";
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
    const parameter = parameters.find((one) => one.in === "path" && one.name === name);
    return encodeURIComponent(String(parameter?.example ?? resolve(parameter?.schema ?? {}).example ?? SAMPLES[name] ?? name));
  });
  const lines = [`curl ${stream ? "-N " : ""}${verb === "get" ? "" : `-X ${verb.toUpperCase()} `}${location.origin}${filled}`];
  if (tokenUse(operation) === "Needs") lines.push('  -H "Authorization: Bearer $TOKEN"');
  const media = mediaOf(operation.requestBody && resolve(operation.requestBody));
  if (media) lines.push(`  -H "Content-Type: ${media[0]}"`, `  -d '${JSON.stringify(mediaExample(media[1]))}'`);
  return lines.join(" \\\n");
}

/**
 * @param {HTMLElement} parent
 * @param {Content | undefined} body
 */
function requestBody(parent, body) {
  const media = mediaOf(body && resolve(body));
  const schema = resolve(media?.[1].schema ?? {});
  const required = new Set(schema.required ?? []);
  table(parent, `Body, ${media?.[0]}`, Object.entries(schema.properties ?? {}).map(([name, part]) => (
    { name, must: required.has(name), kind: typeOf(part), text: resolve(part).description })));
}

/**
 * @param {string} verb
 * @param {string} path
 * @param {Operation} operation
 * @param {Parameter[]} shared Those of the path.
 */
function call(verb, path, operation, shared) {
  const id = `${verb}${path.replace(/[^a-z0-9]+/gi, "-")}`;
  const badge = () => {
    const element = make("span", "verb", verb.toUpperCase());
    element.dataset.verb = verb;
    return element;
  };
  const link = byId("contents").appendChild(make("li", "")).appendChild(make("a", ""));
  link.href = `#${id}`;
  link.append(badge(), path);

  const section = byId("calls").appendChild(make("section", "call"));
  section.id = id;
  section.appendChild(make("h3", "")).append(badge(), make("code", "", path));
  prose(section, operation.summary);
  prose(section, operation.description);
  if (tokenUse(operation)) inline(section.appendChild(make("p", "")), `${tokenUse(operation)} a token: \`Authorization: Bearer …\`.`);

  const parameters = [...shared, ...(operation.parameters ?? [])].map((one) => resolve(one));
  table(section, "Parameters", parameters.map((one) => (
    { name: one.name, must: one.required, kind: `${one.in}, ${typeOf(one.schema ?? {})}`, text: one.description ?? resolve(one.schema ?? {}).description })));
  requestBody(section, operation.requestBody);
  const answers = Object.entries(operation.responses ?? {}).map(([status, answer]) => ({ status, answer: resolve(answer) }));
  table(section, "Answers", answers.map(({ status, answer }) => ({ name: status, text: answer.description })));
  const good = mediaOf(answers.find(({ status }) => status.startsWith("2"))?.answer);
  if (good?.[0].includes("json")) code(section, JSON.stringify(mediaExample(good[1]), null, 2), `Answer of ${verb} ${path}`);
  section.append(make("h4", "", "Try it"));
  code(section, curlOf(verb, path, operation, parameters), `Command that calls ${verb} ${path}`);
}

function examples() {
  const put = (/** @type {string} */ id, /** @type {string} */ text) => {
    byId(id).textContent = text;
    copyButton(/** @type {HTMLElement} */ (byId(id).closest(".code")), text);
  };
  put("start-code", [
    "TOKEN=$(.venv/bin/scoreboard token --user ada)",
    `curl -X POST ${location.origin}/api/scores \\`,
    '  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\',
    '  -H "Idempotency-Key: ada-level-7" -d \'{"delta":42}\'',
    `curl '${location.origin}/api/leaderboard?limit=10'`,
  ].join("\n"));
  put("live-code", [
    '<script type="module">',
    `  import { ScoreboardStream } from "${location.origin}/static/scoreboard.js";`,
    `  const stream = new ScoreboardStream({ base: "${location.origin}/api", boards: "global" });`,
    '  stream.on("snapshot", ({ snapshot }) => console.table(snapshot.entries));',
    '  stream.on("state", ({ state, reason }) => console.log(state, reason));',
    "</script>",
  ].join("\n"));
  put("error-code", JSON.stringify({ error_code: "EXPIRED_TOKEN", message: "The token has expired; get a new one.", request_id: "5f0c9d2e" }, null, 2));
}

/** @returns {Promise<OpenApi | null>} null: the server could not be asked */
async function describe() {
  try {
    const answer = await fetch("/openapi.json");
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** @typedef {{ verb: string, path: string, operation: Operation, shared: Parameter[] }} Call */

/** @returns {[string, Call[]][]} all calls by their first tag */
function grouped() {
  /** @type {Map<string, Call[]>} */ const groups = new Map(GROUPS.map((name) => [name, []]));
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const verb of VERBS.filter((name) => operations[name])) {
      const operation = /** @type {Operation} */ (operations[verb]);
      const name = operation.tags?.[0] ?? "other";
      groups.set(name, [...(groups.get(name) ?? []), { verb, path, operation, shared: operations.parameters ?? [] }]);
    }
  }
  return [...groups].filter(([, calls]) => calls.length > 0);
}

function show() {
  byId("version").textContent = `${api.info.title} ${api.info.version}`;
  prose(byId("about"), api.info.description);
  const codes = api.components?.schemas?.ErrorCode?.enum ?? [];
  if (codes.length > 0) inline(byId("codes"), `There are ${codes.map((one) => `\`${one}\``).join(", ")}.`);
  byId("calls").replaceChildren();
  for (const [group, calls] of grouped()) {
    byId("calls").append(make("h2", "", group.replace(/^./u, (first) => first.toUpperCase())));
    for (const { verb, path, operation, shared } of calls) call(verb, path, operation, shared);
  }
  // The address may name a call that has only just come to be.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

async function start() {
  examples();
  const described = await describe();
  byId("calls").setAttribute("aria-busy", "false");
  if (described) {
    api = described;
    show();
  } else byId("calls").replaceChildren(make("p", "", "The list of calls cannot be read right now. Reload the page to try again."));
}

start();
