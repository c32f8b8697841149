// Renders [{template, data, html}] with mustache; parts: {name: text}. Null: it is refused.
const mustache = require('mustache')
const { cases, parts } = JSON.parse(require('fs').readFileSync(0))
const out = cases.map(({ template, data, html }) => {
  try {
    return mustache.render(template, data, parts, html ? {} : { escape: (text) => String(text) })
  } catch {
    return null
  }
})
process.stdout.write(JSON.stringify(out))
