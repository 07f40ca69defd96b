// How records go in and out of these programs: see ../python/records.py, the format is the same.
const { readFileSync } = require('node:fs')

const bytes = (field) => (field === '-' ? null : Buffer.from(field, 'hex'))
const field = (data) => (data === null || data === undefined ? '-' : Buffer.from(data).toString('hex'))

// The records to write, from standard input; headers are pairs of name and value.
exports.wanted = () =>
  readFileSync(0, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, , timestamp, key, value, ...rest] = line.split('\t')
      const headers = []
      for (let i = 0; i < rest.length; i += 2) headers.push([bytes(rest[i]).toString(), bytes(rest[i + 1])])
      return { timestamp, key: bytes(key), value: bytes(value), headers }
    })

// Prints a record that was read.
exports.show = (topic, offset, timestamp, key, value, headers) => {
  const fields = [topic, offset, timestamp, field(key), field(value)]
  for (const [name, data] of headers) fields.push(field(name), field(data))
  console.log(fields.join('\t'))
}

// Pairs of codec and topic from arguments of the form codec=topic.
exports.byCodec = (args) => args.map((a) => a.split('='))

exports.same = (what, got, want) => {
  if (String(got) !== String(want)) throw new Error(`${what} ${got}, want ${want}`)
}

// Fails when the work takes longer than any machine needs.
exports.within = (work) =>
  Promise.race([work, new Promise((_, reject) => setTimeout(() => reject(new Error('waited 100 s')), 100_000).unref())])

// Runs the function of the verb that the first argument names and prints "ok" with what it returns.
exports.dispatch = (verbs) => {
  const [verb, broker, ...rest] = process.argv.slice(2)
  verbs[verb](broker, ...rest).then(
    (total) => console.log('ok', total),
    (err) => {
      console.error(err)
      process.exit(1)
    },
  )
}
