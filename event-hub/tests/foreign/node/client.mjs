// A foreign client: amqplib, and the CloudEvents SDK of JavaScript.
//
//   client.mjs publish URL EXCHANGE KEY MODE    sends a few events, confirmed, and prints each as a JSON line
//   client.mjs read URL QUEUE COUNT MODE        takes so many, and prints what it understood of each
//
// Modes: plain (JSON and nothing else), structured and binary (the SDK's: its HTTP headers as AMQP headers).

import amqplib from 'amqplib'
import { CloudEvent, HTTP } from 'cloudevents'

const DATA = [
  { n: 0, text: 'plain' },
  { n: 1, text: 'größer €uro 🚊', deep: [[], { x: null }] },
  { n: 2, big: Number.MAX_SAFE_INTEGER },
]

const attributes = (kind, n) => ({
  specversion: '1.0',
  id: `node-${kind}-${n}`,
  source: '/amqplib',
  type: kind,
  time: '2026-01-02T03:04:05.600Z',
  datacontenttype: 'application/json',
  subject: `subject ${n}`,
  partitionkey: 'k',
  dataversion: 1,
  tracestate: 'vendor=1',
  comexampleflag: 'yes',
  data: DATA[n],
})

function message(mode, kind, n) {
  // A client that knows JSON and nothing else says no content type.
  if (mode === 'plain') return { body: JSON.stringify(attributes(kind, n)), options: {} }
  const event = new CloudEvent(attributes(kind, n))
  const sent = mode === 'structured' ? HTTP.structured(event) : HTTP.binary(event)
  const { 'content-type': contentType, ...headers } = sent.headers
  return { body: sent.body, options: { contentType, headers } }
}

async function publish(connection, exchange, kind, mode) {
  const channel = await connection.createConfirmChannel()
  channel.on('return', (returned) => {
    throw new Error(`returned: ${returned.fields.replyText}`)
  })
  for (const [n, data] of DATA.entries()) {
    const { body, options } = message(mode, kind, n)
    channel.publish(exchange, kind, Buffer.from(body), { ...options, persistent: true, mandatory: true })
    await channel.waitForConfirms()
    console.log(JSON.stringify({ id: `node-${kind}-${n}`, data }))
  }
}

function understood(mode, properties, body) {
  if (mode === 'plain') return JSON.parse(body)
  const headers = { ...properties.headers, 'content-type': properties.contentType }
  const event = HTTP.toEvent({ headers, body })
  event.validate()
  return event.toJSON()
}

async function read(connection, queue, count, mode) {
  const channel = await connection.createChannel()
  await channel.prefetch(count)
  let taken = 0
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`only ${taken} of ${count} came`)), 60_000)
    channel.consume(queue, ({ fields, properties, content }) => {
      const told = {
        event: understood(mode, properties, content.toString()),
        content_type: properties.contentType,
        message_id: properties.messageId,
        type: properties.type,
        app_id: properties.appId,
        correlation_id: properties.correlationId,
        timestamp: properties.timestamp,
        delivery_mode: properties.deliveryMode,
        key: fields.routingKey,
      }
      console.log(JSON.stringify(told))
      channel.ack({ fields, properties, content })
      taken += 1
      if (taken === count) {
        clearTimeout(late)
        resolve()
      }
    })
  })
  // Its end is what tells that the acknowledgements arrived.
  await channel.close()
}

const [command, url, ...rest] = process.argv.slice(2)
const connection = await amqplib.connect(url)
if (command === 'publish') await publish(connection, ...rest)
else await read(connection, rest[0], Number(rest[1]), rest[2])
await connection.close()
