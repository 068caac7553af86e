// Elements, made without text that could be taken for markup.

const SVG = 'http://www.w3.org/2000/svg';

// h('button', { class: 'plain', onclick: f }, 'Text', more): an element. Properties that begin with "on" are listeners,
// null and false leave an attribute out, true is one without a value.
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same for drawings.
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

// Puts other children into an element.
export function put(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

// A table with a caption for screen readers. Columns are names, or { name } with `number`, `wide` for long text, `half` where
// two columns have it, `words` for some text, `fixed` for what stays in a line, or `actions` for buttons: these stay in sight at the
// end of the row, wherever the rest of a wide table is moved.
export function table(caption, columns, rows, empty = 'Nothing here.') {
  if (rows.length === 0) return h('p', { class: 'empty' }, empty);
  const of = columns.map((column) => (typeof column === 'string' ? { name: column } : column));
  const head = of.map((column) => h('th', { scope: 'col', class: ['number', 'actions'].find((kind) => column[kind]) ?? null }, column.name));
  const body = rows.map((row) =>
    h('tr', {}, row.map((cell, at) => h('td', { class: ['number', 'wide', 'half', 'words', 'fixed', 'actions'].find((kind) => of[at][kind]) ?? null }, cell))),
  );
  // Wide tables scroll within themselves, also by the keyboard.
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', {},
      h('caption', { class: 'hidden' }, caption),
      h('thead', {}, h('tr', {}, head)),
      h('tbody', {}, body)));
}

// The column of buttons that change what a row shows.
export const CHANGE = { name: 'Change', actions: true };

// Names and values, those that are not well marked: [name, value, whether it is bad].
export function facts(pairs) {
  return h('dl', { class: 'facts' }, pairs.map(([name, value, isBad]) =>
    h('div', {}, h('dt', {}, name), h('dd', { class: isBad ? 'bad' : null }, value))));
}

export function button(text, onclick, attributes = {}) {
  return h('button', { type: 'button', onclick, ...attributes }, text);
}

// A heading with what belongs beside it.
export function heading(text, ...beside) {
  return h('div', { class: 'heading' }, h('h1', {}, text), ...beside);
}

export function panel(title, ...content) {
  return h('section', { class: 'panel' }, title ? h('h2', {}, title) : null, ...content);
}

// Says something at the edge of the page for a while; once, however often it is said meanwhile.
export function note(text, kind = 'info') {
  for (const shown of byId('notes').children) if (shown.textContent === text) shown.remove();
  const line = h('p', { class: `note ${kind}` }, text);
  byId('notes').append(line);
  setTimeout(() => line.remove(), kind === 'error' ? 10000 : 4000);
}

// Asks before something that cannot be taken back. Resolves to whether it may be done. Where `word` is given,
// it has to be typed.
export function confirmed(title, text, action, word = null) {
  return new Promise((resolve) => {
    const typed = word === null ? null : h('input', { type: 'text', id: 'confirm-word', autocomplete: 'off', spellcheck: 'false' });
    const yes = h('button', { type: 'submit', class: 'danger', value: 'yes', disabled: word !== null }, action);
    typed?.addEventListener('input', () => { yes.disabled = typed.value !== word; });
    const dialog = h('dialog', { 'aria-labelledby': 'confirm-title' },
      h('form', { method: 'dialog' },
        h('h2', { id: 'confirm-title' }, title),
        h('p', { class: 'wrap' }, text),
        typed && h('label', { class: 'field', for: 'confirm-word' }, `Type ${word} to go on`, typed),
        h('div', { class: 'row end' },
          h('button', { type: 'submit', value: 'no' }, 'Cancel'), yes)));
    dialog.addEventListener('close', () => {
      resolve(dialog.returnValue === 'yes');
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Asks for texts: fields { name, label, value, lines }; again with what went wrong, where there is a `problem`. Resolves to
// them by name, or to null.
export function asked(title, fields, action, problem = null) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ name, label, value = '', lines, type = 'text' }) => {
      const id = `ask-${name}`;
      const input = lines
        ? h('textarea', { id, rows: lines, spellcheck: 'false' })
        : h('input', { id, type, autocomplete: type === 'password' ? 'new-password' : 'off', spellcheck: 'false', step: type === 'number' ? 'any' : null });
      input.value = value;
      return { name, input, element: h('label', { class: 'field', for: id }, label, input) };
    });
    const dialog = h('dialog', { 'aria-labelledby': 'ask-title' },
      h('form', { method: 'dialog' },
        h('h2', { id: 'ask-title' }, title),
        problem && failure(problem),
        inputs.map(({ element }) => element),
        h('div', { class: 'row end' },
          h('button', { type: 'submit', value: 'no', formnovalidate: true }, 'Cancel'),
          h('button', { type: 'submit', class: 'primary', value: 'yes' }, action))));
    // Enter in a field means the action, not the first button.
    dialog.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.target.tagName !== 'INPUT') return;
      event.preventDefault();
      dialog.close('yes');
    });
    dialog.addEventListener('close', () => {
      const isGiven = dialog.returnValue === 'yes';
      resolve(isGiven ? Object.fromEntries(inputs.map(({ name, input }) => [name, input.value])) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    inputs[0]?.input.focus();
  });
}

// Closes what is asked, as if it were answered with no.
export function closeDialogs() {
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close('no');
}

// Does something that may fail, and says so if it does. Returns whether it went well.
export async function attempt(work, done = null) {
  try {
    await work();
    if (done) note(done);
    return true;
  } catch (error) {
    note(inWords(error), 'error');
    return false;
  }
}

// Fills a place, or says there why not.
export async function inPlace(place, title, work) {
  try {
    await work();
  } catch (error) {
    // What is said already is not said again.
    if (place.querySelector('.failure, .denied')?.textContent === inWords(error)) return;
    put(place, title ? panel(title, failure(error)) : failure(error));
  }
}

// How long what is there already waits for what comes above it.
const LATE_MS = 3000;

// Fills places that are one below the other, given as [place, title, work]. A place that has nothing yet is shown when those
// above it are filled, so that nothing moves that is seen already, unless they take long.
export async function inTurn(...all) {
  const late = new Promise((resolve) => { setTimeout(resolve, LATE_MS); });
  let above = null;
  await Promise.all(all.map(([place, title, work]) => {
    if (place.childElementCount === 0) {
      if (above === null) put(place, h('p', { class: 'empty' }, 'Looking…'));
      else place.hidden = true;
    }
    above?.then(() => { place.hidden = false; });
    const done = inPlace(place, title, work);
    above = Promise.race([late, Promise.all([above, done])]);
    return done;
  }));
}

// What went wrong, for people: a right that is missing is told without the words of the protocol.
export function inWords(error) {
  const message = error.message ?? String(error);
  const denied = /^NOPERM .*permissions to run the '([^']+)' command/.exec(message);
  return denied ? notAllowed(denied[1]) : message;
}

export function notAllowed(...names) {
  return `Your user may not run ${names.map((name) => name.replace('|', ' ').toUpperCase()).join(', ')}.`;
}

// Shows what went wrong in the place of what was wanted.
export function failure(error) {
  const text = inWords(error);
  // A right that is missing is nothing that failed.
  if (text !== (error.message ?? String(error))) return h('p', { class: 'denied' }, text);
  return h('p', { class: 'failure', role: 'alert' }, text);
}

// Runs a function every so many milliseconds while the page is looked at, one call after the other. Returns
// what ends it.
export function repeat(every, run) {
  let ended = false;
  let timer = null;
  const next = async () => {
    if (!document.hidden) await run();
    if (!ended) timer = setTimeout(next, every);
  };
  next();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
