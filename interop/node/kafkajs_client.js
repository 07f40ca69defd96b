// KafkaJS: see ../program_test.go for what the verbs do. Of its own it has gzip; the other codecs are
// plugged in as its manual tells, from snappyjs, from the LZ4 that @platformatic/kafka uses, and from Node.
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const zlib = require('node:zlib')
const snappy = require('snappyjs')
const { lz4Compress, lz4Decompress } = require('@platformatic/wasm-utils')
const { wanted, show, byCodec, same, within, dispatch } = require('./records')

const types = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }

const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])

// Snappy comes as one block, or framed as the Java client does it: a header of 16 bytes, then blocks
// that each follow their length.
function unsnap(data) {
  if (!data.subarray(0, 8).equals(xerial)) return Buffer.from(snappy.uncompress(data))
  const blocks = []
  for (let at = 16; at < data.length; ) {
    const end = at + 4 + data.readUInt32BE(at)
    blocks.push(Buffer.from(snappy.uncompress(data.subarray(at + 4, end))))
    at = end
  }
  return Buffer.concat(blocks)
}

CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async (encoder) => Buffer.from(snappy.compress(encoder.buffer)),
  decompress: async (data) => unsnap(data),
})
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4Compress(encoder.buffer)),
  decompress: async (data) => Buffer.from(lz4Decompress(data)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => zlib.zstdCompressSync(encoder.buffer),
  decompress: async (data) => zlib.zstdDecompressSync(data),
})

const connect = (broker) => new Kafka({ clientId: 'interop-node', brokers: [broker], logLevel: logLevel.NOTHING })

async function write(broker, ...topics) {
  const messages = wanted().map((r) => {
    const headers = {}
    for (const [name, value] of r.headers) headers[name] = name in headers ? [].concat(headers[name], value) : value
    return { ...r, partition: 0, headers }
  })
  const producer = connect(broker).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const [codec, topic] of byCodec(topics)) {
    const [sent] = await producer.send({ topic, compression: types[codec], acks: -1, messages })
    same('base offset', sent.baseOffset, 0)
  }
  await producer.disconnect()
  return topics.length * messages.length
}

// Joins a group and takes count records of topics from their beginning.
async function take(broker, groupId, topics, count, each) {
  const consumer = connect(broker).consumer({ groupId, sessionTimeout: 30000, maxWaitTimeInMs: 250 })
  await consumer.connect()
  await consumer.subscribe({ topics, fromBeginning: true })
  let seen = 0
  await within(
    new Promise((resolve, reject) => {
      const eachMessage = async ({ topic, message }) => {
        try {
          if (seen < count) each(topic, message, seen)
        } catch (err) {
          reject(err)
        }
        if (++seen === count) resolve()
      }
      consumer.run({ autoCommit: false, eachMessage }).catch(reject)
    }),
  )
  return consumer
}

async function read(broker, count, ...topics) {
  const total = count * topics.length
  const consumer = await take(broker, `read-${process.pid}-${Date.now()}`, topics, total, (topic, m) => {
    const headers = Object.entries(m.headers ?? {}).flatMap(([name, value]) => [].concat(value).map((v) => [name, v]))
    show(topic, m.offset, m.timestamp, m.key, m.value, headers)
  })
  await consumer.disconnect()
  return total
}

async function group(broker, topic, name) {
  let total = 0
  const producer = connect(broker).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const compression of Object.values(types)) {
    const messages = []
    for (let i = 0; i < 50; i++, total++) messages.push({ key: String(total), value: 'x'.repeat(200) + total, partition: 0 })
    const [sent] = await producer.send({ topic, compression, acks: -1, messages })
    same('base offset', sent.baseOffset, total - 50)
  }
  await producer.disconnect()
  const consumer = await take(broker, name, [topic], total, (_, m, seen) => same('record', [m.offset, m.key], [seen, seen]))
  await consumer.commitOffsets([{ topic, partition: 0, offset: String(total) }])
  await consumer.disconnect()
  return total
}

dispatch({ write, read, group })
