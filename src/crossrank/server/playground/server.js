// Asking the server what any client can ask.

export const BASE = new URL("..", import.meta.url); // where the server is, behind whatever prefix

export const key = () => sessionStorage.getItem("crossrank-key") ?? "";

/** What is wrong, in words for people. */
export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, body, signal) {
  const headers = { "content-type": "application/json" };
  if (key()) headers.authorization = `Bearer ${key()}`;
  const request = { headers, signal, cache: "no-store", ...(body && { method: "POST", body: JSON.stringify(body) }) };
  const started = performance.now();
  let response, said;
  try {
    response = await fetch(new URL(path, BASE), request);
    said = await response.json().catch(() => null);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server cannot be reached. Is it still running?");
  }
  if (!response.ok) throw failure(response, said);
  return { said, stages: stagesOf(response.headers.get("server-timing")), roundTrip: performance.now() - started };
}

function failure(response, said) {
  if (response.status === 401) return new Failure(key() ? "The server does not know this key." : "This server wants an API key.", 401);
  const why = said?.error?.message ?? said?.message ?? `It answered ${response.status} ${response.statusText}`;
  const again = response.headers.get("retry-after");
  const identity = response.headers.get("x-request-id");
  const parts = [/[.?!]$/.test(why) ? why : `${why}.`, again && `Try again in ${again} s.`, identity && `(Request ${identity})`];
  return new Failure(parts.filter(Boolean).join(" "), response.status);
}

/** Milliseconds by stage, as the Server-Timing header has them. */
function stagesOf(header) {
  const found = [...(header ?? "").matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, value]) => [name, Number(value)]);
  return Object.fromEntries(found);
}
