const KEPT = 200;
const LONGEST = 20_000;
const $ = (id) => document.getElementById(id);

// Relative to the page, which may be mounted under a prefix.
const home = new URL('.', document.baseURI).href.replace(/\/$/, '');
const events = new URL('events', document.baseURI).href;

// ---- Subscribing

let source;
let channels = [];
let listening = new Set();
let opened = 0;
let received = 0;
let lastId = '';

function subscribe() {
  channels = $('channels').value.match(/[^\s,]+/g) ?? ['demo', 'demo/**'];
  opened = received = $('count').textContent = $('reconnects').textContent = 0;
  lastId = '';
  clear();
  $('empty').firstElementChild.textContent = `Nothing yet on ${channels.join(', ')}`;
  // Only as long as nobody typed there: that is what a default value is.
  const isPublishable = !channels[0].includes('*') && !channels[0].startsWith('herald/');
  $('publish-channel').defaultValue = isPublishable ? channels[0] : 'demo';
  describe();
  connect();
}

function connect() {
  const words = channels.map((channel) => `channel=${encodeURIComponent(channel)}`);
  // A new EventSource has forgotten the last event id.
  if (lastId) words.push(`last_event_id=${encodeURIComponent(lastId)}`);
  const url = `${events}?${words.join('&')}`;
  source?.close();
  source = new EventSource(url);
  // An event of type "open" or "error" comes the same way as these two; it is a MessageEvent.
  source.addEventListener('open', (event) => {
    if (event instanceof MessageEvent) return;
    $('reconnects').textContent = opened++;
    state('open');
  });
  source.addEventListener('error', (event) => {
    if (event instanceof MessageEvent) return;
    const isClosed = event.target.readyState === EventSource.CLOSED;
    state(isClosed ? 'closed' : 'waiting');
    if (isClosed) explain(event.target, url);
  });
  listening = new Set();
  listen();
  state('connecting');
}

function state(name) {
  $('state').textContent = $('state').dataset.state = name;
  $('reconnect').hidden = name !== 'closed';
  if (name !== 'closed') $('problem').textContent = '';
}

/** An EventSource does not tell why it was refused; the same request from `fetch` does. */
async function explain(refused, url) {
  let reason = 'The hub closed the connection.';
  try {
    const response = await fetch(`${url}&wait=0&limit=1`);
    if (!response.ok) reason = await detail(response);
  } catch {
    reason = 'The hub cannot be reached.';
  }
  if (refused === source) $('problem').textContent = reason;
}

/** An EventSource drops the types that nobody listens for. */
function listen() {
  const types = new Set(['message', ...eventTypes()]);
  for (const type of listening) if (!types.has(type)) source.removeEventListener(type, receive);
  for (const type of types) source.addEventListener(type, receive);
  listening = types;
}

const eventTypes = () => $('types').value.split(',').map((type) => type.trim()).filter(Boolean);

// ---- Showing

let arrived = [];
let frame = 0;

// At most once a frame: a busy channel must not freeze the page.
function receive(event) {
  if (!(event instanceof MessageEvent)) return;
  received += 1;
  lastId = event.lastEventId;
  arrived.push([event, new Date()]);
  if (arrived.length > KEPT) arrived.shift();
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  $('events').prepend(...arrived.reverse().map(item));
  arrived = [];
  while ($('events').childElementCount > KEPT) $('events').lastElementChild.remove();
  $('count').textContent = received;
}

function clear() {
  arrived = [];
  $('events').replaceChildren();
}

function item([{ type, lastEventId, data }, at]) {
  const item = element('li', '');
  Object.assign(item.dataset, { type, id: lastEventId });
  const about = element('div', 'about');
  about.append(element('span', 'type', type));
  if (type === 'gap') about.append(element('span', 'missing', 'events are missing here'));
  const time = Object.assign(element('time', '', clock.format(at)), { dateTime: at.toISOString() });
  about.append(element('code', 'id', lastEventId), time);
  item.append(about, element('pre', 'data', readable(data)));
  return item;
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});

const element = (name, className, textContent = '') =>
  Object.assign(document.createElement(name), { className, textContent });

function readable(data) {
  if (data.length > LONGEST) {
    return `${data.slice(0, LONGEST)}\n… and ${data.length - LONGEST} more characters`;
  }
  return looksLikeJson(data) ? pretty(data) : data;
}

function looksLikeJson(text) {
  try {
    return /^\s*[[{]/.test(text) && Boolean(JSON.parse(text));
  } catch {
    return false;
  }
}

/** Only moves white space: `JSON.stringify` would round large numbers. */
function pretty(json) {
  const token = /"(?:\\.|[^"\\])*"|\{\s*\}|\[\s*\]|[{}[\],:]|\s+/g;
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 20))}`;
  return json.replace(token, (part) => {
    if (part[0] === '"') return part;
    part = part.replace(/\s+/g, '');
    if (part === ',') return part + line();
    if (part === ':') return ': ';
    if (part === '{' || part === '[') return depth++, part + line();
    if (part === '}' || part === ']') return depth--, line() + part;
    return part;
  });
}

// ---- Publishing

function publication() {
  const channel = $('publish-channel').value.trim();
  const type = $('publish-type').value.trim();
  const body = $('publish-data').value;
  const path = channel.split('/').map(encodeURIComponent).join('/');
  const query = type && `?event=${encodeURIComponent(type)}`;
  return { channel, type, body, url: `${events}/${path}${query}`, isJson: looksLikeJson(body) };
}

async function publish(event) {
  event.preventDefault();
  const { type, body, url, isJson } = publication();
  // Before it is sent, for the event may be here before the answer.
  if (type && !listening.has(type)) {
    $('types').value = [...eventTypes(), type].join(', ');
    listen();
  }
  const headers = { 'Content-Type': isJson ? 'application/json' : 'text/plain; charset=utf-8' };
  try {
    const response = await fetch(url, { method: 'POST', body, headers });
    if (!response.ok) throw new Error(await detail(response));
    const { id } = await response.json();
    $('published').replaceChildren('published as ', element('code', '', id));
    $('published').className = '';
  } catch (error) {
    $('published').textContent = error instanceof TypeError ? 'The hub cannot be reached.' : error.message;
    $('published').className = 'failed';
  }
}

/** What a refusal says of itself (RFC 9457), unless a proxy answered. */
async function detail(response) {
  const problem = await response.json().catch(() => null);
  return problem?.detail ?? `The hub answers ${response.status} ${response.statusText}`;
}

/** Shows the publication as a command. */
function describe() {
  const { channel, body, url, isJson } = publication();
  const header = isJson ? ['-H', 'Content-Type: application/json'] : [];
  // curl reads `-d @name` from a file.
  const data = [body.startsWith('@') ? '--data-raw' : '-d', body];
  $('curl').textContent = ['curl', ...header, ...data, url].map(quote).join(' ');
  // The browser would take such a path for another one, and not ask the hub.
  const hasDots = channel.split('/').some((segment) => segment === '.' || segment === '..');
  $('publish-channel').setCustomValidity(hasDots ? "channel must not have '.' or '..' as a segment" : '');
}

function quote(word) {
  return /^[\w@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

async function copy() {
  try {
    await navigator.clipboard.writeText($('curl').textContent);
  } catch {
    // Only pages from https and localhost have a clipboard.
    getSelection().selectAllChildren($('curl'));
    document.execCommand('copy');
  }
  $('copy').textContent = 'Copied';
  setTimeout(() => ($('copy').textContent = 'Copy'), 1500);
}

// ---- Wiring

function follow() {
  const hash = location.hash.slice(1);
  try {
    $('channels').value = decodeURIComponent(hash) || 'demo, demo/**';
  } catch {
    $('channels').value = hash;
  }
  subscribe();
}

$('subscription').addEventListener('submit', (event) => {
  event.preventDefault();
  subscribe();
  const hash = channels.map(encodeURIComponent).join(',').replaceAll('%2F', '/');
  if (location.hash !== `#${hash}`) history.pushState(null, '', `#${hash}`);
});
$('publish-data').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  $('publishing').requestSubmit();
});
$('publishing').addEventListener('submit', publish);
$('publishing').addEventListener('input', describe);
$('types').addEventListener('input', listen);
$('reconnect').addEventListener('click', connect);
$('clear').addEventListener('click', clear);
$('copy').addEventListener('click', copy);
addEventListener('hashchange', follow);

const isDefault = ['http://127.0.0.1:8080', 'http://localhost:8080'].includes(home);
const plain = home.replace(/^http:\/\//, '');
$('hint-curl').textContent = `curl -N ${quote(`${plain}/events/demo`)}`;
$('hint-publish').textContent = `vmstat 1 | herald publish --lines demo/vmstat${isDefault ? '' : ` --url ${quote(home)}`}`;
follow();
