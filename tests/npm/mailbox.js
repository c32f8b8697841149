// A mail server: a line {"port"}, then a line for every message: its envelope and what mailparser reads in it.
// Arguments: --tls offers STARTTLS and asks for a sign-in; --sink counts only (a line {"count"} twice a second).
const { SMTPServer } = require('smtp-server')
const { simpleParser } = require('mailparser')

const tls = process.argv.includes('--tls')
const sink = process.argv.includes('--sink')
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

function addresses (field) {
  return field ? field.value.map(({ name, address }) => ({ name, address })) : []
}

async function read (session, raw) {
  const m = await simpleParser(raw)
  say({
    envelope: { from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map((r) => r.address) },
    secure: Boolean(session.secure),
    user: session.user || null,
    subject: m.subject,
    from: addresses(m.from),
    to: addresses(m.to),
    messageId: m.messageId,
    date: m.date,
    headers: Object.fromEntries(m.headerLines.map(({ key, line }) => [key, line])),
    names: m.headerLines.map(({ key }) => key),
    text: m.text,
    html: m.html,
    attachments: m.attachments.length,
    raw: raw.toString('latin1')
  })
}

let count = 0
const server = new SMTPServer({
  authOptional: !tls,
  hideSTARTTLS: !tls,
  size: 30 * 1024 * 1024,
  disableReverseLookup: true,
  onAuth: ({ username, password }, session, done) =>
    password === 'secret' ? done(null, { user: username }) : done(new Error('wrong password')),
  onData (stream, session, done) {
    const parts = []
    stream.on('data', (part) => sink || parts.push(part))
    stream.on('end', () => {
      count++
      if (sink) return done()
      read(session, Buffer.concat(parts)).then(() => done(), done)
    })
  }
})
server.on('error', () => {})
server.listen(0, '127.0.0.1', () => say({ port: server.server.address().port }))
if (sink) setInterval(() => say({ count }), 500)
