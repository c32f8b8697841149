'use strict';
// The first page: enough to live the main job in a browser. No framework; text only ever by textContent.

const $ = (id) => document.getElementById(id);
const show = (id, yes) => { $(id).hidden = !yes; };
const money = (minor, currency) =>
  new Intl.NumberFormat('en-US', { style: 'currency', currency: currency || 'USD' }).format(minor / 100);
const day = (text) => new Date(text).toLocaleDateString('en-US', { dateStyle: 'long' });

async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  const value = text ? JSON.parse(text) : {};
  if (!answer.ok) {
    const first = value.errors && value.errors[0];
    throw Object.assign(new Error(first ? first.message : value.detail || value.title), { status: answer.status, value });
  }
  return value;
}

function say(text, bad) {
  $('notice').textContent = text;
  $('notice').classList.toggle('bad', Boolean(bad));
  show('notice', Boolean(text));
}

// Runs an action of a button: one at a time, mistakes as a sentence.
function act(button, work) {
  button.addEventListener('click', async () => {
    button.disabled = true;
    say('');
    try {
      await work();
    } catch (e) {
      say(e.message, true);
    }
    button.disabled = false;
  });
}

function make(tag, text, cls) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (cls) e.className = cls;
  return e;
}

function meter(value, label) {
  const box = make('div', '', 'meter');
  box.append(make('b', value), label);
  return box;
}

function drawPlan(e, sub) {
  $('plan').textContent = e.premium ? 'Premium' : 'Free';
  const ends = sub && (sub.cancelAtPeriodEnd || sub.cancelAt);
  let more = 'Full access to what you buy, five AI conversations a day.';
  if (e.premium && e.grace) more = `A payment failed. Access lasts until ${day(e.accessUntil)}; check your card.`;
  else if (e.premium && ends) more = `Ends on ${day(e.accessUntil)}.`;
  else if (e.premium) more = `This month began on ${day(e.cycle.start)} and ends on ${day(e.cycle.end)}.`;
  $('plan-more').textContent = more;
  show('subscribe', !e.premium);
  show('cancel', e.premium && !ends);
  show('resume', e.premium && Boolean(ends));
  show('portal', e.premium || e.grace);
  const q = e.quizzes, a = e.articles;
  $('meters').replaceChildren(
    meter(e.premium ? `${q.included.remaining} of ${q.included.limit}` : '–', 'free quizzes left'),
    meter(e.premium ? `${a.included.remaining} of ${a.included.limit}` : '–', 'free articles left'),
    meter(e.premium ? `${q.discount.remaining} of ${q.discount.limit}` : '–', `quizzes at ${q.discount.percent} % off`),
    meter(e.ai.unlimited ? 'unlimited' : `${e.ai.remaining} of ${e.ai.limit}`, e.ai.unlimited ? 'AI conversations' : 'AI conversations today'));
}

async function openItem(item) {
  try {
    await call('POST', '/api/user/entitlements/use', { item });
    say('It is open.');
  } catch (e) {
    if (e.status !== 402) throw e;
    const bought = await call('POST', '/api/purchases/checkout', { item });
    if (bought.url) location.assign(bought.url);
    else say('It is yours, for free.');
  }
  await draw();
}

function drawItems(list, open) {
  $('items').replaceChildren(...list.map((i) => {
    const li = document.createElement('li');
    const title = make('span', i.title, 'title');
    title.append(make('small', i.item));
    li.append(title);
    const mine = open.find((o) => o.item === i.item);
    if (mine) {
      li.append(make('span', mine.via === 'purchase' ? 'yours' : 'open', 'tag'));
      return li;
    }
    const price = i.price === i.listPrice ? money(i.price, i.currency) : `${money(i.price, i.currency)} instead of ${money(i.listPrice, i.currency)}`;
    const button = make('button', i.access === 'allowance' ? 'Open free' : i.price === 0 ? 'Open' : `Buy for ${price}`, 'second');
    act(button, () => openItem(i.item));
    li.append(button);
    return li;
  }));
}

async function drawHistory() {
  const rows = [];
  const purchases = await call('GET', '/api/purchases?limit=20');
  for (const p of purchases.data) rows.push([p.createdAt, `${p.item}: ${p.status}, ${money(p.price, p.currency)}`]);
  const events = await call('GET', '/api/subscription/events').catch(() => ({ data: [] }));
  for (const e of events.data) rows.push([e.createdAt, `${e.type}: ${e.status}`]);
  rows.sort((a, b) => (a[0] < b[0] ? 1 : -1));
  $('events').replaceChildren(...rows.map(([at, text]) => {
    const li = document.createElement('li');
    li.append(make('time', new Date(at).toLocaleString('en-US', { dateStyle: 'medium', timeStyle: 'short' })), text);
    return li;
  }));
  show('history', rows.length > 0);
}

async function draw() {
  const me = await call('GET', '/api/auth/me').catch((e) => { if (e.status === 401) return null; throw e; });
  const member = me && (me.user || me);
  show('welcome', !member && !resetToken());
  show('member', Boolean(member));
  show('logout', Boolean(member));
  $('who').textContent = member ? member.email : '';
  const catalog = await call('GET', '/api/catalog');
  let open = [];
  if (member) {
    const e = await call('GET', '/api/user/entitlements');
    const sub = await call('GET', '/api/subscription').catch(() => null);
    drawPlan(e, sub && (sub.subscription || sub));
    open = e.items;
  }
  drawItems(catalog.data || catalog.items, open);
  show('shelf', true);
  if (member) await drawHistory();
  else show('history', false);
}

const query = new URLSearchParams(location.search);
const resetToken = () => query.get('reset');
const claimToken = () => query.get('claim');

async function offerClaim(answer) {
  const counts = answer && answer.claimable;
  const n = counts ? Object.values(counts).reduce((a, b) => a + Number(b), 0) : 0;
  if (!n && !claimToken()) return;
  $('claim-text').textContent = claimToken()
    ? 'The link from your receipt adds a purchase to this account.'
    : 'On this computer somebody bought or wrote something without an account. Was that you?';
  show('claim', true);
}

$('sign').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = new FormData($('sign'), event.submitter);
  say('');
  try {
    const answer = await call('POST', `/api/auth/${form.get('act')}`, { email: form.get('email'), password: form.get('password') });
    $('sign').reset();
    await draw();
    await offerClaim(answer);
  } catch (e) {
    say(e.message, true);
  }
});

$('reset-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    await call('POST', '/api/auth/password/reset', { token: resetToken(), password: new FormData($('reset-form')).get('password') });
    location.assign('/');
  } catch (e) {
    say(e.message, true);
  }
});

act($('forgot'), async () => {
  const email = new FormData($('sign')).get('email');
  if (!email) { say('Type your e-mail address first.', true); return; }
  await call('POST', '/api/auth/password/forgot', { email });
  say('If there is an account with this address, a letter with a link is on its way.');
});
act($('logout'), async () => { await call('POST', '/api/auth/logout', {}); await draw(); });
act($('subscribe'), async () => { location.assign((await call('POST', '/api/subscription/create', {})).url); });
act($('cancel'), async () => { await call('POST', '/api/subscription/cancel', {}); await draw(); });
act($('resume'), async () => { await call('POST', '/api/subscription/resume', {}); await draw(); });
act($('portal'), async () => { location.assign((await call('POST', '/api/subscription/portal', {})).url); });
act($('claim-button'), async () => {
  if (claimToken()) await call('POST', '/api/purchases/claim', { token: claimToken() });
  else await call('POST', '/api/auth/claim', {});
  show('claim', false);
  say('It is in your account now.');
  await draw();
});

show('reset', Boolean(resetToken()));
draw().then(() => (claimToken() ? offerClaim() : undefined)).catch((e) => say(e.message, true));
