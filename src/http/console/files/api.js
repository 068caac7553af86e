// Talks to the server.

// A command's error, or a request that was refused.
export class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

// Something is not as it was when it was last seen: it is `now` this.
export class Changed extends Error {
  constructor(now) {
    super('It was changed by somebody else meanwhile.');
    this.now = now;
  }
}

// What the page knows of its session; app.js fills it.
export const session = { user: null, open: true, readOnly: false, database: 0, denied: new Set(), allKeys: true, onLogOut: () => {} };

// Whether the user may run commands, named as `client|kill`; keys may be in the way all the same.
export const may = (...names) => names.every((name) => !session.denied.has(name));

// Whether the page may offer what these commands change.
export const mayChange = (...names) => !session.readOnly && may(...names);

// How much of a long element is shown.
const LONG_BYTES = 8192;

// Whether a user did something since the last request: what the page asks for by itself does not keep a
// session alive.
let acted = false;
for (const kind of ['pointerdown', 'keydown']) addEventListener(kind, () => { acted = true; }, true);

async function ask(method, path, content, signal) {
  const headers = { 'X-Kvarts-Console': acted ? '1' : 'auto' };
  acted = false;
  if (content !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: content && JSON.stringify(content), cache: 'no-store' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused('The server does not answer.');
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({ error: response.statusText }));
  if (response.status === 401 && path !== '/api/session') session.onLogOut();
  throw new Refused(error, response.status);
}

export async function whoAmI() {
  return (await ask('GET', '/api/session')).json();
}

export async function logIn(user, password) {
  return (await ask('POST', '/api/session', { user, password })).json();
}

export async function logOut() {
  return (await ask('DELETE', '/api/session')).json();
}

export async function figures(names) {
  return (await ask('GET', `/api/figures?names=${names.join(',')}`)).json();
}

// Points of the charts that are newer than `since`.
export async function history(since) {
  return (await ask('GET', `/api/figures/history?since=${since}`)).json();
}

// Of each directive its default, what it does, and whether it may be changed.
export async function directives() {
  return (await ask('GET', '/api/directives')).json();
}

// Runs commands one behind the other. Answers { replies, stopped, took_us }; replies as the server sent them.
export async function raw(commands, options = {}) {
  const content = {
    commands,
    database: options.database ?? session.database,
    read_only: session.readOnly,
    cut: options.cut,
    quiet: options.quiet,
    if: options.if,
  };
  return (await ask('POST', '/api/command', content, options.signal)).json();
}

// Runs commands and answers their replies as plain values; an error is a Refused in its place. What a view asks for and
// the user may not read is no attempt that ACL LOG should tell of.
export async function run(commands, options = {}) {
  const { replies, stopped } = await raw(commands, { ...options, quiet: true });
  if (replies.length < commands.length) throw new Refused(`Not all replies came: ${stopped}.`);
  return replies.map(plain);
}

// Runs one command; throws its error.
export async function call(...words) {
  return only(await run([words]));
}

// The same for a page of elements: where all of them are too long to be sent, each longer one is sent in part, as
// { cut, bytes }.
export async function callForPage(...words) {
  const { replies } = await raw([words], { quiet: true });
  return only(replies.length === 1 ? replies.map(plain) : await run([words], { cut: LONG_BYTES }));
}

// Runs one command on a key if another one, which only looks, still answers what it answered before: else it throws Changed. So
// nobody overwrites unasked what others have written. Whoever may not look or watch writes as ever.
export async function callIfSame(key, look, seen, ...words) {
  if (!may('watch', 'multi', 'exec', look[0].toLowerCase())) return call(...words);
  const { replies, stopped, found } = await raw([words], { if: { key, command: look, reply: seen } });
  if (found !== undefined) throw new Changed(plain(found));
  if (replies.length === 0) throw new Refused(`Not done: ${stopped}.`);
  return only(replies.map(plain));
}

function only([reply]) {
  if (reply instanceof Refused) throw reply;
  return reply;
}

// A reply without its types. Maps become arrays of pairs with a `get`, as their keys may be of any type.
export function plain(reply) {
  if (Array.isArray(reply)) return reply.map(plain);
  if (reply === null || typeof reply !== 'object') return reply;
  if ('error' in reply) return new Refused(reply.error);
  if ('simple' in reply) return reply.simple;
  if ('text' in reply) return reply.text;
  if ('double' in reply) return Number(reply.double.replace('inf', 'Infinity'));
  if ('int' in reply) return reply.int;
  if ('big' in reply) return reply.big;
  if ('set' in reply) return reply.set.map(plain);
  if ('push' in reply) return reply.push.map(plain);
  if ('map' in reply) {
    const pairs = reply.map.map(plain);
    pairs.get = (name) => pairs.find(([key]) => key === name)?.[1];
    return pairs;
  }
  return reply;
}

// Runs commands and calls `take` with each message that they bring, until `signal` says so or the server ends it.
// Resolves to why it ended.
export async function stream(commands, take, signal) {
  const content = { commands, database: session.database, read_only: session.readOnly };
  const response = await ask('POST', '/api/stream', content, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return 'the server ended it';
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (line === '') continue;
        const message = JSON.parse(line);
        if (message !== null && message.end !== undefined) return message.end;
        take(message);
      }
    }
  } catch (error) {
    if (error.name === 'AbortError') return null;
    return 'the connection was lost';
  }
}

// INFO as sections of names and values.
export async function info(...sections) {
  const text = await call('INFO', ...sections);
  const fields = {};
  for (const line of text.split('\r\n')) {
    const at = line.indexOf(':');
    if (at > 0 && !line.startsWith('#')) fields[line.slice(0, at)] = line.slice(at + 1);
  }
  return fields;
}
