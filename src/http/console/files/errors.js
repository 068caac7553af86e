// Errors that clients were answered, by their codes: what they mean, and what to do.

import { short } from './format.js';

// Codes with series of their own, in the order in which one is told of before others. `refuses` ones are never part of
// ordinary work.
const CODES = {
  MISCONF: { refuses: true, advice: 'MISCONF: writes are refused as a snapshot or the append-only file failed. See State, and the log.' },
  OOM: { refuses: true, advice: 'OOM: memory is over maxmemory and nothing may be evicted, so writes are refused. Raise it, or choose another maxmemory-policy.' },
  MASTERDOWN: { refuses: true, advice: 'MASTERDOWN: this replica has lost its primary and answers nothing old (replica-serve-stale-data no). See State.' },
  NOREPLICAS: { refuses: true, advice: 'NOREPLICAS: fewer replicas follow than min-replicas-to-write asks for. See State.' },
  READONLY: { refuses: true, advice: 'READONLY: clients write to a replica. They have to be told of the primary: see how they find it.' },
  LOADING: { refuses: true, advice: 'LOADING: clients come while data are loaded. Send them only where /readyz answers 200.' },
  BUSY: { refuses: true, advice: 'BUSY: a script runs for too long, and others are refused. SCRIPT KILL ends it; slow requests say which.' },
  WRONGPASS: { refuses: true, advice: 'WRONGPASS: somebody logs in with a wrong name or password, by mistake or as a guess. ACL LOG says who.' },
  NOAUTH: { refuses: true, advice: 'NOAUTH: clients do not log in, though a password is set. Their configuration lacks it.' },
  NOPERM: { refuses: true, advice: 'NOPERM: a user does what its rights do not allow. ACL LOG says who and what.' },
  WRONGTYPE: { advice: 'WRONGTYPE: commands meet keys of another type: two parts of an application share a name.' },
  ERR: { advice: 'ERR: commands that are wrong or unknown. Their clients log the texts; INFO commandstats says which commands fail.' },
  NOSCRIPT: { ordinary: true },
};
const OTHERS = 'others';
const LOOKED_MS = 60 * 1000;

export const advice = (points) => {
  const seen = counted(lately(points));
  const worst = Object.keys(CODES).filter((code) => seen[code] > 0 && CODES[code].advice)
    .sort((one, other) => Boolean(CODES[other].refuses) - Boolean(CODES[one].refuses) || seen[other] - seen[one]);
  return worst.length > 0 ? CODES[worst[0]].advice : 'More than one command in a hundred fails: INFO errorstats and commandstats say which.';
};

// Whether clients were refused something in the last minute, or more than a hundredth of their commands failed.
export function areBad(points) {
  const looked = lately(points);
  const seen = counted(looked);
  const ops = sum(looked, 'ops');
  const failed = Object.entries(seen).reduce((all, [code, count]) => all + (CODES[code]?.ordinary ? 0 : count), 0);
  return Object.entries(seen).some(([code, count]) => count > 0 && CODES[code]?.refuses) || failed > ops / 100;
}

// The codes with most errors as series of a chart, no more than three.
export function series(points) {
  const seen = Object.entries(counted(points)).filter(([code, count]) => count > 0 && code !== OTHERS)
    .sort(([, one], [, other]) => other - one);
  return seen.slice(0, 3).map(([code]) => ({ key: `error_${code}`, name: code }));
}

// How many there were, by code; where there is room for so many letters only, the most frequent, and how many more codes.
export function inTotal(points, room = Infinity) {
  const seen = Object.entries(counted(points)).filter(([, count]) => count >= 0.5).sort(([, one], [, other]) => other - one);
  if (seen.length === 0) return 'none';
  const told = seen.map(([code, count]) => `${code} ${short(Math.round(count))}`);
  const few = (shown) => (shown === told.length ? told : [...told.slice(0, shown), `${told.length - shown} more`]).join(', ');
  let shown = told.length;
  while (shown > 1 && few(shown).length > room) shown -= 1;
  return few(shown);
}

function lately(points) {
  const end = points.at(-1)?.at ?? 0;
  return points.filter(({ at }) => end - at <= LOOKED_MS);
}

function counted(points) {
  const seen = Object.fromEntries(Object.keys(CODES).map((code) => [code, sum(points, `error_${code}`)]));
  const known = Object.values(seen).reduce((all, count) => all + count, 0);
  // Sums of rates are not exact.
  const others = sum(points, 'errors') - known;
  return { ...seen, [OTHERS]: others < 0.5 ? 0 : others };
}

// How many there were, of what is noted as so many a second.
function sum(points, key) {
  let all = 0;
  points.forEach((point, place) => {
    // The last point is of a second, also behind those of ten.
    const before = place === points.length - 1 ? point.at - 1000 : points[place - 1]?.at ?? point.at - 1000;
    all += (point[key] ?? 0) * (point.at - before) / 1000;
  });
  return all;
}
