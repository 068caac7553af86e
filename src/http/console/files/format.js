// Numbers and bytes for people.

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

export function bytes(count) {
  let unit = 0;
  let value = Number(count);
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${digits(value)} ${UNITS[unit]}`;
}

export function count(value) {
  return Number(value).toLocaleString('en-GB', { maximumFractionDigits: 0 });
}

// A sentence of the server with its numbers of bytes written as others are.
export function grouped(text) {
  return text.replace(/\b\d{4,}(?= (?:bytes|of them|of these)\b)/g, (digits) => count(digits));
}

// With a digit behind the point, where it is not a whole number.
export function average(value) {
  return Number(value).toLocaleString('en-GB', { maximumFractionDigits: 1 });
}

// 1 key, 2 keys.
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${Number(value) === 1 ? one : many}`;
}

// Three digits that matter, with a unit of thousands.
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return `${digits(value / 1e9)} G`;
  if (size >= 1e6) return `${digits(value / 1e6)} M`;
  if (size >= 1e4) return `${digits(value / 1e3)} k`;
  return digits(value);
}

export function digits(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return count(value);
  return String(Number(value.toFixed(size >= 10 ? 1 : 2)));
}

export function percent(value) {
  return `${digits(value)} %`;
}

export function micros(value) {
  if (value >= 1e6) return `${digits(value / 1e6)} s`;
  if (value >= 1e3) return `${digits(value / 1e3)} ms`;
  return `${digits(value)} µs`;
}

export function span(seconds) {
  const total = Math.floor(Number(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min ${total % 60} s`;
  if (total < 86400) return `${Math.floor(total / 3600)} h ${Math.floor((total % 3600) / 60)} min`;
  return `${Math.floor(total / 86400)} d ${Math.floor((total % 86400) / 3600)} h`;
}

export function time(seconds) {
  return new Date(Number(seconds) * 1000).toISOString().replace('T', ' ').slice(0, 19);
}

// Time that a key has still to live.
export function ttl(ms) {
  if (ms === -1) return 'no limit';
  if (ms < 0) return 'gone';
  return ms < 10000 ? `${digits(ms / 1000)} s` : span(ms / 1000);
}

// Words are strings, or { base64 } where their bytes are no text, or { cut, bytes } where there is only a part of them.
// Shown, what cannot be seen is escaped.
export function shown(word) {
  if (word === null || word === undefined) return '';
  if (word.cut !== undefined) return `${shown(word.cut)}… (${count(word.bytes)} bytes, the rest is not shown)`;
  if (typeof word !== 'object') {
    return String(word).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (letter) => {
      const code = letter.codePointAt(0);
      return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
    });
  }
  if (word.base64 === undefined) return JSON.stringify(word);
  return [...atob(word.base64)]
    .map((letter) => (letter >= ' ' && letter <= '~' ? letter : `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`))
    .join('');
}

export function cut(text, length = 200) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

// A name that no other word has, for places in the page's address.
export function encoded(word) {
  return typeof word === 'object' ? `64:${encodeURIComponent(word.base64)}` : `t:${encodeURIComponent(word)}`;
}

export function decoded(text) {
  const word = decodeURIComponent(text.slice(text.indexOf(':') + 1));
  return text.startsWith('64:') ? { base64: word } : word;
}
