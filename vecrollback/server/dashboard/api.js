// Talking to the server that sent this page. The token stays in this tab's session storage.

const KEY = "vecrollback-token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

/** What the server refused or could not do, in its own words. Status 0: it was not reached. */
export class ApiError extends Error {
  constructor(status, { type = "", message, hint = "" }) {
    super(message);
    Object.assign(this, { status, type, hint });
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit" });
  } catch {
    throw new ApiError(0, { type: "UnreachableError", message: "The server does not answer." });
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new ApiError(response.status, told.error ?? { message: `The server answered ${response.status}.` });
}

export const get = async (path) => (await ask("GET", path)).json();
export const remove = async (path) => (await ask("DELETE", path)).json();
export const post = async (path, body) => (await ask("POST", path, body)).json();

/** Server-sent events as [name, data]. By fetch, because an EventSource can send no token. */
export async function* events(path) {
  const response = await ask("GET", path);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event) yield [fields.event, JSON.parse(fields.data)];
    }
  }
}
