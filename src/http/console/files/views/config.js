// The configuration: what differs from the defaults, and all of it.

import { call, directives, mayChange } from '../api.js';
import { CHANGE, asked, attempt, button, confirmed, h, heading, put, table } from '../dom.js';
import { count, cut, shown } from '../format.js';

export const title = 'Configuration';

export async function show(place, { query }) {
  put(place, heading('Configuration'));
  const [values, known] = await Promise.all([call('CONFIG', 'GET', '*'), directives()]);
  const all = values
    .map(([name, value]) => ({ name, value, ...(known[name] ?? { default: null, about: '', mutable: false, active: true }) }))
    .sort((one, other) => one.name.localeCompare(other.name));
  for (const one of all) one.differs = one.default !== null && one.value !== one.default;
  const filter = h('input', { id: 'filter', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'maxmemory', value: query.get('name') ?? '' });
  const only = h('input', { id: 'only', type: 'checkbox', checked: query.get('all') === null && !query.get('name') });
  const list = h('div', {});
  const again = () => {
    put(place);
    return show(place, { query: new URLSearchParams({ name: filter.value, ...(only.checked ? {} : { all: '1' }) }) });
  };
  const draw = () => drawList(list, all, filter.value, only.checked, again);
  filter.addEventListener('input', draw);
  only.addEventListener('change', draw);
  put(place,
    heading('Configuration', !mayChange('config|rewrite') ? null : button('Write to the file', async () => {
      if (!await confirmed('Write the configuration?', 'CONFIG REWRITE writes what is in force into the file that the server was started with.', 'Write')) return;
      await attempt(() => call('CONFIG', 'REWRITE'), 'Written.');
    })),
    h('div', { class: 'row' },
      h('label', { class: 'field grow', for: 'filter' }, 'Name', filter),
      h('label', { class: 'switch' }, only, ' Only what differs from the default')),
    list);
  draw();
}

function valueOf(one) {
  return h('code', { class: one.differs ? 'differs' : null }, cut(shown(one.value)) || '""');
}

// A password in the place of which there are dots until somebody wants to see it.
function secret(one) {
  const place = h('span', { class: 'secret' });
  const draw = (isShown) => put(place, isShown ? valueOf(one) : h('code', { class: one.differs ? 'differs' : null, 'aria-label': 'hidden', role: 'img' }, '••••••'), ' ',
    button(isShown ? 'Hide' : 'Show', () => {
      draw(!isShown);
      place.querySelector('button').focus();
    }, { class: 'plain', 'aria-label': `${isShown ? 'Hide' : 'Show'} ${one.name}` }));
  draw(false);
  return place;
}

function drawList(list, all, text, onlyDifferent, again) {
  const wanted = all.filter((one) => one.name.includes(text.trim().toLowerCase()) && (one.differs || !onlyDifferent));
  const maySet = mayChange('config|set');
  const rows = wanted.map((one) => {
    const value = one.secret && one.value !== '' ? secret(one) : valueOf(one);
    const cells = [
      h('div', {}, h('strong', {}, one.name), h('p', { class: 'about' }, one.about, one.active ? '' : ' (Without effect here.)')),
      value, h('code', {}, one.default === null ? '–' : cut(one.default) || '""'),
    ];
    if (!maySet) return cells;
    return [...cells, one.mutable ? button('Change', async () => {
      const given = await asked(one.name, [{ name: 'value', label: one.about || 'Value', value: one.value, type: one.secret ? 'password' : 'text' }], 'Set');
      if (given === null) return;
      if (await attempt(() => call('CONFIG', 'SET', one.name, given.value), 'Set.')) await attempt(again);
    }, { 'aria-label': `Change ${one.name}` }) : 'at the start only'];
  });
  const columns = [{ name: 'Directive', wide: true }, { name: 'Value', words: true }, { name: 'Default', words: true }];
  put(list,
    h('p', { class: 'more' }, `${count(wanted.length)} of ${count(all.length)} directives.`),
    table('Directives', maySet ? [...columns, CHANGE] : columns, rows,
      onlyDifferent ? 'Everything is as it is by default.' : 'No directive has such a name.'));
}
