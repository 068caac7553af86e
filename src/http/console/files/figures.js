// What the charts show. The server notes it once a second and keeps the last hour, so nothing begins empty; while the page is
// looked at it asks for what is new.

import { history } from './api.js';
import { repeat } from './dom.js';

const EVERY_MS = 1000;
export const MINUTES_MS = 5 * 60 * 1000;
export const HOUR_MS = 60 * 60 * 1000;

export const figures = {
  // The last five minutes by the second, and the last hour by ten seconds, the latest last: { at, ops, clients, … }
  // by the server's names of the series, and what `derived` adds.
  points: [],
  hour: [],
  // What is the matter at present, that for which clients are refused something first: { kind, refuses, title, reason,
  // advice }; and `primary` or `replica`.
  troubles: [],
  role: 'primary',
  // Called with the state in words, and whether that is well.
  onState: () => {},
  listeners: new Set(),
  start,
  stop,
};

let end = null;
// Counts starts and stops: an answer that comes later is nobody's.
let turn = 0;

// Resolves when the first of them are there, or could not be had.
function start() {
  stop();
  return new Promise((resolve) => {
    end = repeat(EVERY_MS, () => tick().finally(resolve));
  });
}

function stop() {
  turn += 1;
  end?.();
  end = null;
  figures.points = [];
  figures.hour = [];
  figures.troubles = [];
}

async function tick() {
  const since = figures.points.at(-1)?.at ?? 0;
  const mine = turn;
  let answer;
  try {
    answer = await history(since);
  } catch (error) {
    if (mine !== turn || error.status === 401) return;
    figures.troubles = [{
      kind: 'no-answer', refuses: 'commands', title: error.message, reason: 'What is shown here is as it was when it last did.',
      advice: 'Look whether the process is there, and at its log; what stands before this port, or the network, may be in the way as well.',
    }];
    figures.onState(error.message, false);
    for (const listener of figures.listeners) listener();
    return;
  }
  if (mine !== turn) return;
  if (answer.now_ms < since) {
    // The server's clock was set back.
    figures.points = [];
    figures.hour = [];
    return;
  }
  figures.points = joined(figures.points, answer, answer.seconds, MINUTES_MS);
  figures.hour = joined(figures.hour, answer, answer.tens, HOUR_MS);
  const last = figures.points.at(-1);
  if (!last) return;
  figures.troubles = answer.troubles;
  figures.role = answer.role;
  figures.onState(...headline(last, answer.health));
  for (const listener of figures.listeners) listener();
}

// The state in words, and whether that is well.
function headline(last, health) {
  const { troubles, role } = figures;
  const further = troubles.length > 1 ? `, and ${troubles.length - 1} more` : '';
  if (last.loading === 1) return ['Loading data', false];
  if (troubles.length > 0) return [troubles[0].title + further, false];
  if (health === 'starting') return ['Starting', true];
  return [role === 'replica' ? 'Healthy replica' : 'Healthy', true];
}

// Points with those that are new, as far as they are not too old.
function joined(points, { now_ms: now, series }, rows, kept) {
  const fresh = rows.map(([at, ...values]) => derived({ at, ...Object.fromEntries(series.map((name, place) => [name, values[place]])) }));
  return [...points, ...fresh].filter((point) => point.at > now - kept);
}

function derived(point) {
  const max = point.memory_max_bytes;
  return { ...point, memory_percent: max > 0 ? (100 * point.memory_bytes) / max : null };
}
