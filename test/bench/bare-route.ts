// What the gateway is measured against: a Hono route that reads its body and answers, in a process of its own.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const app = new Hono().post('/', async (c) => {
  const body = await c.req.arrayBuffer()
  return c.json({ bytes: body.byteLength }, 201)
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
  process.stdout.write(`http://127.0.0.1:${port}\n`)
})
