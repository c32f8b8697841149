'use strict';
// The first page: enough to live the main job in a browser. No framework; text only ever by textContent.

const $ = (id) => document.getElementById(id);
const show = (id, yes) => { $(id).hidden = !yes; };
const money = (minor, currency) => {
  const format = new Intl.NumberFormat('en-US', { style: 'currency', currency: currency || 'USD' });
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
};
const day = (text) => new Date(text).toLocaleDateString('en-US', { dateStyle: 'long' });
const moment = (text) => new Date(text).toLocaleString('en-US', { dateStyle: 'medium', timeStyle: 'short' });
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

function make(tag, text, cls) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (cls) e.className = cls;
  return e;
}

// ---- the server
const SENTENCES = {
  bad_credentials: 'This e-mail address and password do not belong together. Try again, or ask for a sign-in link.',
  email_taken: 'There is an account with this e-mail address already. Sign in instead.',
  unauthenticated: 'You are signed out. Please sign in again.',
  upstream_unavailable: 'The payment provider does not answer right now. Nothing was charged; please try again in a minute.',
  upstream_refused: 'The payment provider refused this. Nothing was charged; please try again in a minute.',
  not_configured: 'Payments are not set up on this server yet.',
  invalid_link: 'This link was used already, or it is too old. Ask for a new one.',
  already_subscribed: 'You have a subscription already.',
  bad_origin: 'This page was opened under another address than the server knows itself by. Open the address in BASE_URL.',
  busy: 'There is a lot going on right now. Please try again in a moment.',
};

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function problem(answer, value) {
  let text = SENTENCES[value.code];
  if (answer.status === 429) text = `Too many attempts. Please wait ${answer.headers.get('Retry-After') || 'some'} seconds and try again.`;
  if (!text && value.errors && value.errors.length) text = value.errors.map((e) => sentence(e.message)).join(' ');
  if (!text && answer.status >= 500) text = `Something went wrong on our side. Please try again (${value.requestId || answer.status}).`;
  return Object.assign(new Error(text || sentence(value.detail || value.title || `the server answered ${answer.status}`)),
    { status: answer.status, code: value.code, value });
}

async function call(method, path, body) {
  let answer;
  let text;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await answer.text();
  } catch (e) {
    throw new Error('MyBeing cannot be reached. Check your connection and try again.');
  }
  let value = {};
  try {
    value = text ? JSON.parse(text) : {};
  } catch (e) {
    value = {};
  }
  if (!answer.ok) throw problem(answer, value);
  return value;
}

// ---- words to the person
function say(text, bad, link) {
  const box = $('notice-text');
  show('notice', Boolean(text));
  $('notice').classList.toggle('bad', Boolean(bad));
  box.setAttribute('role', bad ? 'alert' : 'status');
  box.replaceChildren(text);
  if (!link) return;
  const a = make('a', link.text);
  a.href = link.href;
  box.append(' ', a);
}

function sayError(e) {
  const href = e.value && (e.value.portalUrl || e.value.invoiceUrl);
  say(e.message, true, href && { href, text: e.value.portalUrl ? 'Payment details' : 'Pay the open invoice' });
  if (e.code === 'unauthenticated') load();
}

$('notice-close').addEventListener('click', () => { say(''); $('main').focus(); });

// Runs a button's work: one at a time, mistakes as a sentence.
async function run(button, work) {
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  say('');
  try {
    await work();
  } catch (e) {
    sayError(e);
  }
  button.disabled = false;
  button.removeAttribute('aria-busy');
}
const act = (id, work) => $(id).addEventListener('click', () => run($(id), work));

// Leaves for a page of the payment provider; the button stays busy until then.
function leave(url) {
  location.assign(url);
  return pause(10000);
}

// ---- the membership
function meter(value, label, left, limit) {
  const box = make('div', '', 'meter');
  box.append(make('b', value), label);
  if (limit > 0) {
    const bar = document.createElement('progress');
    bar.max = limit;
    bar.value = left;
    bar.setAttribute('aria-label', `${label}: ${value}`);
    box.append(bar);
  }
  return box;
}

function statusOf(e, sub) {
  const ends = sub.cancelAtPeriodEnd || sub.cancelAt;
  if (e.premium && e.grace)
    return ['Payment failed', true, `Your last payment did not go through. Premium stays open until ${day(e.accessUntil)}; please check your card.`];
  if (e.premium && ends)
    return ['Ends soon', true, `Your subscription is cancelled. Premium stays open until ${day(e.accessUntil)} and nothing more is charged.`];
  if (e.premium && sub.paused) return ['Paused', true, `Payments are paused. Premium stays open until ${day(e.accessUntil)}.`];
  if (e.premium && sub.status === 'trialing') return ['Trial', false, `Your trial runs until ${day(sub.trialEnd || sub.period.end)}.`];
  if (e.premium && sub.period && sub.period.end)
    return ['Active', false, `${money(sub.price.amount, sub.price.currency)} a month. Renews on ${day(sub.period.end)}.`];
  if (e.premium) return ['Active', false, `Premium is open until ${day(e.accessUntil)}.`];
  if (sub.status === 'unpaid' || sub.status === 'past_due' || sub.status === 'incomplete')
    return ['Unpaid', true, 'A payment is open. Pay it, and premium is yours again.'];
  if (sub.status === 'paused') return ['Paused', true, 'Your subscription is paused.'];
  return [null, false, 'Everything at its list price, and a few AI conversations every day.'];
}

function drawPlan(e, sub, plan) {
  const [badge, warm, more] = statusOf(e, sub);
  const ends = Boolean(sub.cancelAtPeriodEnd || sub.cancelAt);
  const blocked = !e.premium && sub.subscriptionId && !['canceled', 'incomplete_expired', 'none'].includes(sub.status);
  $('plan').textContent = e.premium ? 'Premium' : 'Free';
  $('badge').textContent = badge || '';
  $('badge').classList.toggle('warm', warm);
  show('badge', Boolean(badge));
  $('plan-more').textContent = more;
  $('subscribe').textContent = `Subscribe for ${money(plan.price, plan.currency)} a month`;
  show('subscribe', !e.premium && !blocked);
  show('cancel', e.premium && !ends && Boolean(sub.subscriptionId));
  show('resume', e.premium && ends && Boolean(sub.subscriptionId));
  show('portal', Boolean(sub.subscriptionId));
  show('pay-invoice', Boolean(sub.invoiceUrl));
  if (sub.invoiceUrl) $('pay-invoice').href = sub.invoiceUrl;
  show('sure', false);
  $('sure-text').textContent = e.accessUntil && sub.period
    ? `Premium would stay open until ${day(sub.period.end)}; after that you keep what you bought. Cancel it?` : 'Cancel the subscription?';
  const q = e.quizzes, a = e.articles, left = (v, of) => `${v.remaining} of ${of || v.limit}`;
  const meters = [];
  if (e.premium) {
    meters.push(meter(left(q.included), 'free quizzes left', q.included.remaining, q.included.limit),
      meter(left(a.included), 'free articles left', a.included.remaining, a.included.limit),
      meter(left(q.discount), `quizzes at ${q.discount.percent}\u00a0% off`, q.discount.remaining, q.discount.limit));
  }
  meters.push(e.ai.unlimited ? meter('Unlimited', 'AI conversations', 0, 0)
    : meter(left(e.ai), 'AI conversations today', e.ai.remaining, e.ai.limit));
  $('meters').replaceChildren(...meters);
  $('discounts').textContent = e.discounts.length
    ? `You have ${e.discounts.length === 1 ? 'a discount' : `${e.discounts.length} discounts`} of your own; prices below count ${e.discounts.length === 1 ? 'it' : 'them'} in.` : '';
  show('discounts', e.discounts.length > 0);
}

// ---- what there is
async function openItem(i) {
  if (i.cost !== 'money') {
    await call('POST', '/api/user/entitlements/use', { item: i.item });
    await load();
    say(`“${i.title}” is open.`);
    return;
  }
  const bought = await call('POST', '/api/purchases/checkout', { item: i.item });
  if (bought.url) return leave(bought.url);
  await load();
  say(`“${i.title}” is yours, for free.`);
}

function stateOf(mine, i) {
  if (mine && mine.via === 'purchase') return 'Yours';
  if (i.via === 'free' && i.listPrice === 0) return 'Free for everybody';
  if (mine) return mine.until ? `Open while premium lasts` : 'Open';
  return '';
}

function drawItem(i, mine) {
  const li = document.createElement('li');
  const what = make('span', '', 'what');
  what.append(make('b', i.title), make('small', i.description || ''));
  li.append(what);
  const deal = make('span', '', 'deal');
  li.append(deal);
  const state = stateOf(mine, i);
  if (state) {
    deal.append(make('span', state, 'tag'));
    return li;
  }
  const free = i.cost !== 'money';
  const cost = make('span', free ? '' : money(i.price, i.currency), 'cost');
  if (i.price !== i.listPrice || free) {
    const old = make('s', money(i.listPrice, i.currency));
    old.setAttribute('aria-label', `instead of ${money(i.listPrice, i.currency)}`);
    cost.replaceChildren(old, free ? 'included' : money(i.price, i.currency));
  }
  const button = make('button', free ? 'Open' : 'Buy', free ? '' : 'second');
  button.type = 'button';
  button.setAttribute('aria-label', free ? `Open ${i.title}` : `Buy ${i.title} for ${money(i.price, i.currency)}`);
  button.addEventListener('click', () => run(button, () => openItem(i)));
  deal.append(cost, button);
  return li;
}

function drawItems(list, open) {
  for (const [kind, section, into] of [['quiz', 'quizzes', 'quiz-items'], ['article', 'articles', 'article-items']]) {
    const some = list.filter((i) => i.kind === kind);
    $(into).replaceChildren(...some.map((i) => drawItem(i, open.find((o) => o.item === i.item))));
    show(section, some.length > 0);
  }
}

// ---- what happened
const STATUS = {
  pending: 'not paid yet', paid: 'paid', failed: 'the payment failed', expired: 'not paid, ended', partially_refunded: 'partly refunded',
  refunded: 'refunded', disputed: 'disputed', lost: 'taken back by the bank',
};

function drawPurchases(list) {
  $('purchase-list').replaceChildren(...list.map((p) => {
    const li = document.createElement('li');
    const state = make('span', `${money(p.price, p.currency)}, ${STATUS[p.status] || p.status}`, 'state');
    li.append(make('time', moment(p.createdAt)), make('span', p.title || p.item, 'text'), state);
    if (p.status === 'pending' && p.checkoutUrl) {
      const a = make('a', 'Go on paying');
      a.href = p.checkoutUrl;
      li.append(a);
    }
    return li;
  }));
  show('purchases', list.length > 0);
}

const TOLD = {
  'checkout.session.completed': 'The checkout was finished', 'checkout.session.expired': 'A checkout ended without payment',
  'checkout.session.async_payment_succeeded': 'A payment that took its time arrived',
  'checkout.session.async_payment_failed': 'A payment that took its time failed',
  'customer.created': 'You were made known to the payment provider', 'customer.updated': 'Your details changed',
  'customer.deleted': 'Your details were removed', 'customer.subscription.created': 'Your subscription was made',
  'customer.subscription.updated': 'Your subscription changed', 'customer.subscription.deleted': 'Your subscription ended',
  'customer.subscription.paused': 'Your subscription was paused', 'customer.subscription.resumed': 'Your subscription goes on',
  'customer.subscription.trial_will_end': 'Your trial ends soon', 'invoice.created': 'An invoice was made',
  'invoice.finalized': 'An invoice was finished', 'invoice.updated': 'An invoice changed', 'invoice.paid': 'An invoice was paid',
  'invoice.payment_succeeded': 'A payment of an invoice went through', 'invoice.payment_failed': 'A payment of an invoice failed',
  'invoice.payment_action_required': 'Your bank wants to ask you first', 'invoice.upcoming': 'The next invoice comes soon',
  'invoice.voided': 'An invoice was cancelled', 'invoice.marked_uncollectible': 'An invoice was given up',
  'payment_intent.created': 'A payment was begun', 'payment_intent.succeeded': 'A payment went through',
  'payment_intent.payment_failed': 'A payment was declined', 'payment_intent.canceled': 'A payment was called off',
  'payment_intent.processing': 'A payment is under way', 'charge.succeeded': 'Your card was charged',
  'charge.failed': 'Your card was declined', 'charge.refunded': 'Money was sent back', 'charge.refund.updated': 'A refund changed',
  'charge.updated': 'A charge changed', 'refund.created': 'A refund was made', 'refund.updated': 'A refund changed',
  'refund.failed': 'A refund failed', 'charge.dispute.created': 'Your bank questions a payment',
  'charge.dispute.closed': 'Your bank decided about a payment', 'charge.dispute.updated': 'A questioned payment changed',
};
let olderEvents = null;

function drawEvents(page, more) {
  const rows = page.data.map((e) => {
    const li = document.createElement('li');
    const text = make('span', TOLD[e.type] || sentence(e.type.replace(/[._]/g, ' ')).slice(0, -1), 'text');
    text.append(make('code', e.type));
    const words = { applied: 'noted', ignored: 'not needed', failed: 'will be tried again' };
    li.append(make('time', moment(e.createdAt)), text, make('span', words[e.status] || e.status, e.status === 'failed' ? 'state bad' : 'state'));
    return li;
  });
  if (more) $('events').append(...rows);
  else $('events').replaceChildren(...rows);
  olderEvents = page.nextCursor;
  show('more-events', Boolean(olderEvents));
  show('no-events', !more && rows.length === 0);
}

act('more-events', async () => {
  drawEvents(await call('GET', `/api/subscription/events?limit=10&cursor=${encodeURIComponent(olderEvents)}`), true);
});

// ---- who is there
const query = new URLSearchParams(location.search);
let claimToken = query.get('claim');
let signedIn = false;

function drawOffer(plan) {
  const q = plan.quizzes, a = plan.articles;
  $('offer-price').textContent = money(plan.price, plan.currency);
  $('offer-list').replaceChildren(...[
    plan.trialDays ? `${plan.trialDays} days free to try` : '',
    `${q.included} quizzes free every month${q.maxPrice ? `, each up to ${money(q.maxPrice, plan.currency)}` : ''}`,
    `${a.included} premium articles free every month`,
    'AI conversations without limit',
    `${q.discountPercent}\u00a0% off ${q.discountLimit ? `up to ${q.discountLimit} more` : 'further'} quizzes, ${a.discountPercent}\u00a0% off further articles`,
  ].filter(Boolean).map((t) => make('li', t)));
  show('offer', true);
}

async function drawMember(catalog) {
  const [me, e, sub, purchases, events] = await Promise.all([
    call('GET', '/api/auth/me'), call('GET', '/api/user/entitlements'), call('GET', '/api/subscription'),
    call('GET', '/api/purchases?limit=20'), call('GET', '/api/subscription/events?limit=10'),
  ]);
  $('who').textContent = me.email || '';
  $('confirm-address').textContent = me.email || '';
  show('confirm', me.emailVerified === false);
  drawPlan(e, sub, catalog.plan);
  drawItems(catalog.data, e.items);
  drawPurchases(purchases.data);
  drawEvents(events, false);
  if (claimToken) offerClaim(null);
}

async function drawVisitor(catalog) {
  let open = [];
  let bought = [];
  if (catalog.caller === 'visitor') {
    const [e, purchases] = await Promise.all([call('GET', '/api/user/entitlements'), call('GET', '/api/purchases?limit=20')]);
    open = e.items;
    bought = purchases.data;
  }
  $('who').textContent = '';
  drawOffer(catalog.plan);
  drawItems(catalog.data, open);
  drawPurchases(bought);
  if (claimToken) {
    $('sign-why').textContent = 'Sign in or create an account, and the purchase of your receipt can be added to it.';
    show('sign-why', true);
  }
}

async function load() {
  try {
    const catalog = await call('GET', '/api/catalog');
    signedIn = catalog.caller === 'member';
    await (signedIn ? drawMember(catalog) : drawVisitor(catalog));
    show('failed', false);
    show('welcome', !signedIn);
    show('to-sign-in', !signedIn);
    for (const id of ['member', 'history', 'logout']) show(id, signedIn);
    if (!signedIn) for (const id of ['confirm', 'claim']) show(id, false);
  } catch (e) {
    $('failed-text').textContent = e.message;
    for (const id of ['welcome', 'member', 'confirm', 'claim', 'quizzes', 'articles', 'purchases', 'history']) show(id, false);
    show('failed', true);
  }
  clearTimeout(slow);
  show('loading', false);
  $('main').removeAttribute('aria-busy');
}

// ---- signing in
let mode = 'register';

function setMode(to) {
  mode = to;
  const login = to === 'login';
  $('sign-title').textContent = login ? 'Sign in' : 'Create your account';
  $('sign-submit').textContent = login ? 'Sign in' : 'Create account';
  $('switch-text').textContent = login ? 'New here?' : 'Have an account?';
  $('switch').textContent = login ? 'Create an account' : 'Sign in';
  $('sign-password').autocomplete = login ? 'current-password' : 'new-password';
  show('sign-help', login);
  fieldErrors({});
}

function fieldErrors(all) {
  for (const name of ['email', 'password']) {
    $(`sign-${name}`).setAttribute('aria-invalid', all[name] ? 'true' : 'false');
    $(`sign-${name}-error`).textContent = all[name] || '';
    show(`sign-${name}-error`, Boolean(all[name]));
  }
  show('sign-password-hint', mode === 'register' && !all.password);
  const first = ['email', 'password'].find((n) => all[n]);
  if (first) $(`sign-${first}`).focus();
  return Boolean(first);
}

function mistakes(email, password) {
  const all = {};
  if (!email) all.email = 'Please type your e-mail address.';
  else if (!/^[^@\s]+@[^@\s]+$/.test(email)) all.email = 'This does not look like an e-mail address.';
  if (password === '') all.password = 'Please type a password.';
  else if (password !== null && mode === 'register' && [...password].length < 8) all.password = 'It needs at least 8 characters.';
  return all;
}

async function sign() {
  const email = $('sign-email').value.trim(), password = $('sign-password').value;
  if (fieldErrors(mistakes(email, password))) return;
  let answer;
  try {
    answer = await call('POST', `/api/auth/${mode}`, { email, password });
  } catch (e) {
    if (e.code === 'email_taken') {
      setMode('login');
      throw e;
    }
    const all = {};
    for (const one of (e.value && e.value.errors) || []) all[one.pointer.slice(1)] = sentence(/^[a-z]/.test(one.message) ? `it ${one.message}` : one.message);
    if (fieldErrors(all)) return;
    throw e;
  }
  $('sign').reset();
  setMode('login');
  await load();
  offerClaim(answer);
  if (answer.claimed) say('What you did here before is in your account now.');
  $('member-title').focus();
}

$('sign').addEventListener('submit', (event) => {
  event.preventDefault();
  if (!$('sign-submit').disabled) run($('sign-submit'), sign);
});
$('switch').addEventListener('click', () => { setMode(mode === 'login' ? 'register' : 'login'); $('sign-email').focus(); });
$('to-sign-in').addEventListener('click', () => { setMode('login'); $('sign-email').focus(); });

async function letter(path, words) {
  const email = $('sign-email').value.trim();
  if (fieldErrors(mistakes(email, null))) return;
  await call('POST', path, { email });
  say(words);
}
act('forgot', () => letter('/api/auth/password/forgot', 'If there is an account with this address, a letter with a link to choose a new password is on its way.'));
act('magic', () => letter('/api/auth/magic-link', 'A letter with a sign-in link is on its way. Open it on this device.'));
act('resend', async () => { await call('POST', '/api/auth/email/resend', {}); say('The letter is on its way again.'); });
act('logout', async () => {
  await call('POST', '/api/auth/logout', {});
  setMode('login');
  await load();
  say('You are signed out.');
  $('main').focus();
});
act('again', load);

// ---- claiming
function offerClaim(answer) {
  const counts = answer && answer.claimable;
  const n = counts ? Object.values(counts).reduce((a, b) => a + Number(b), 0) : 0;
  if (!n && !claimToken) return;
  $('claim-text').textContent = claimToken
    ? 'The link from your receipt adds a purchase to this account.'
    : 'Somebody bought or wrote something in this browser without an account. If that was you, take it with you.';
  $('claim-no').textContent = claimToken ? 'Not now' : 'It was not me';
  show('claim', true);
}

act('claim-button', async () => {
  if (claimToken) {
    const answer = await call('POST', '/api/purchases/claim', { token: claimToken });
    if (!answer.claimed) {
      say('First confirm your address with the link in our letter; then press this button again.');
      return;
    }
  } else {
    await call('POST', '/api/auth/claim', {});
  }
  claimToken = null;
  show('claim', false);
  await load();
  say('It is in your account now.');
});
act('claim-no', async () => { claimToken = null; show('claim', false); });

// ---- the subscription
act('subscribe', async () => leave((await call('POST', '/api/subscription/create', {})).url));
act('portal', async () => leave((await call('POST', '/api/subscription/portal', {})).url));
act('cancel', async () => { show('sure', true); $('sure-no').focus(); });
act('sure-no', async () => { show('sure', false); $('cancel').focus(); });
act('sure-yes', async () => {
  await call('POST', '/api/subscription/cancel', {});
  await load();
  say('It is cancelled: nothing more is charged. You can change your mind until it ends.');
  $('member-title').focus();
});
act('resume', async () => {
  await call('POST', '/api/subscription/resume', {});
  await load();
  say('Good that you stay: your subscription goes on.');
  $('member-title').focus();
});

// ---- coming back from the payment provider
async function settled(what) {
  for (let i = 0; i < 15; i++) {
    const done = await what();
    if (done) return done;
    await pause(2000);
  }
  return null;
}

async function cameBack() {
  const purchase = query.get('purchase');
  if (query.has('canceled')) {
    say('You came back without paying. Nothing was charged.');
  } else if (query.has('subscribed') && signedIn) {
    say('Thank you! One moment, your payment is being confirmed…');
    const done = await settled(async () => (await call('GET', '/api/user/entitlements')).premium);
    await load();
    say(done ? 'Welcome to premium! Your allowances are ready.' : 'Your payment is still on its way; this page will show it when it has arrived.');
  } else if (purchase) {
    say('Thank you! One moment, your payment is being confirmed…');
    const done = await settled(async () => {
      const p = await call('GET', `/api/purchases/${encodeURIComponent(purchase)}`);
      return p.status === 'pending' ? null : p;
    });
    await load();
    if (!done) say('Your payment is still on its way; this page will show it when it has arrived.');
    else if (done.access) say(`Thank you: “${done.title}” is yours.`);
    else say(`“${done.title}”: ${STATUS[done.status] || done.status}.`, true);
  }
}

async function start() {
  await load();
  if (location.search) history.replaceState(null, '', '/');
  await cameBack();
}

// Slow answers say that they are awaited; fast ones do not flicker.
const slow = setTimeout(() => show('loading', true), 300);
$('main').setAttribute('aria-busy', 'true');
setMode('register');
start().catch(sayError);
// Back from another page with this one kept in memory: its buttons may be busy and its state old.
window.addEventListener('pageshow', (event) => {
  if (!event.persisted) return;
  for (const b of document.querySelectorAll('button[aria-busy]')) {
    b.disabled = false;
    b.removeAttribute('aria-busy');
  }
  load();
});
