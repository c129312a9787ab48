import { connectTo, exchange, ask, post, type BadInput } from './bad-input.ts'
import { limits } from '#protocol/limits'

const records = '/v1/topics/orders/records'
/** A record has 6 bytes of lengths and flags, and 2 + 12 + 2 + 10 of the header content-type: text/plain. */
const largestValue = limits.recordBytesMax - 32
const json = 'application/json'
const handshake = 'upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

export const badRequests: readonly BadInput[] = [
  {
    input: 'a topic name with bad characters',
    named: /^TOPIC_NAME_INVALID 400: "pear orders"/,
    give: (oak) => ask(oak, '/v1/topics/pear%20orders/records', post('x')),
  },
  {
    input: 'one byte over the record limit',
    named: /^RECORD_TOO_LARGE 413: .*this one has 1044481\.\n201 /s,
    give: async (oak) => {
      const refused = await ask(oak, records, post('x'.repeat(largestValue + 1)))
      return `${refused}\n${await ask(oak, '/v1/topics/large/records', post('x'.repeat(largestValue)))}`
    },
  },
  {
    input: 'one byte over the record limit, in a batch and in a stream of lines',
    named: /^RECORD_TOO_LARGE 413: records\[1\].*RECORD_TOO_LARGE 413: Line 2/s,
    give: async (oak) => {
      const bad = JSON.stringify({ value: 'x'.repeat(largestValue + 1) })
      const batch = await ask(oak, records, post(`{"records":[{"value":1},${bad}]}`, json))
      const lines = await ask(oak, records, post(`\n${bad}\n`, 'application/x-ndjson'))
      return `${batch}\n${lines}`
    },
  },
  {
    input: 'a batch over the limit of bodies',
    named: /^BODY_TOO_LARGE 413: .*8388608 bytes/,
    give: (oak) => ask(oak, records, post(`{"records":[{"value":"${'x'.repeat(limits.requestBytesMax)}"}]}`, json)),
  },
  {
    input: 'JSON cut in the middle',
    named: /^BAD_JSON 400: /,
    give: (oak) => ask(oak, records, post('{"pears": 3, "plu', json)),
  },
  {
    input: '2 MiB of opening brackets',
    named: /^BAD_JSON 400: .*nests deeper than 64/,
    give: (oak) => ask(oak, records, post('['.repeat(2 * 1024 * 1024), json)),
  },
  {
    input: 'an unknown ack level',
    named: /^ACK_LEVEL_INVALID 400: "most"/,
    give: (oak) => ask(oak, `${records}?ack=most`, post('x')),
  },
  {
    input: 'ack=n:99 in a mesh of two',
    named: /^ACK_LEVEL_IMPOSSIBLE 400: .*99/,
    give: (oak) => ask(oak, `${records}?ack=n:99`, post('x')),
  },
  {
    input: 'a negative limit',
    named: /^BAD_REQUEST 400: limit must be a whole number from 1 to 1000/,
    give: (oak) => ask(oak, `${records}?limit=-1`),
  },
  {
    input: '10,000 headers',
    named: /^HEAD_TOO_LARGE 431: /,
    give: (oak) => exchange(oak, `POST ${records} HTTP/1.1\r\nhost: localhost\r\n${'x-y: z\r\n'.repeat(10_000)}\r\n`),
  },
  {
    input: 'a record with 10,000 headers',
    named: /^BAD_REQUEST 400: records\[0\].headers must be at most 64/,
    give: (oak) => {
      const headers = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`h${i}`, '']))
      return ask(oak, records, post(JSON.stringify({ records: [{ value: 1, headers }] }), json))
    },
  },
  {
    input: 'a body that never ends',
    named: /^RECORD_TOO_LARGE 413: /,
    give: async (oak) => {
      const socket = await connectTo(oak.http)
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
      socket.write(`POST ${records} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n`)
      const sending = setInterval(() => socket.writableNeedDrain || socket.write(chunk), 0)
      let text = ''
      for await (const data of socket) text += String(data)
      clearInterval(sending)
      const { code, detail } = JSON.parse(text.slice(text.indexOf('{'))) as { code: string; detail: string }
      return `${code} ${text.slice(9, 12)}: ${detail}`
    },
  },
  {
    input: 'an upgrade for //',
    named: /^ROUTE_NOT_FOUND 404: /,
    give: (oak) => exchange(oak, `GET // HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n${handshake}\r\n`),
  },
  {
    input: 'an HTTP/2 preface',
    named: /^BAD_REQUEST 400: .*this is HTTP\/2/,
    give: (oak) => exchange(oak, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
  },
  {
    input: 'TLS on the HTTP port',
    named: /^BAD_REQUEST 400: .*this is TLS/,
    give: (oak) => exchange(oak, '\x16\x03\x01\x00\xa5\x01'),
  },
  {
    input: 'an upgrade that is reset in the handshake, 100 times',
    named: /^its sender is gone$/,
    give: async (oak) => {
      for (let i = 0; i < 100; i++) {
        const socket = await connectTo(oak.http)
        const head = `GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n${handshake}`
        await new Promise<void>((resolve) => void socket.write(head + (i % 2 === 0 ? '' : '\r\n'), () => resolve()))
        socket.resetAndDestroy()
      }
      return 'its sender is gone'
    },
  },
]
