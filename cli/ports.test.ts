import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { freePorts } from './ports.ts'

test('a port that is taken is skipped, the others follow in order', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const ports = await freePorts(port, 3)
  taken.close()
  expect(ports).toHaveLength(3)
  expect(Math.min(...ports)).toBeGreaterThan(port)
  expect(ports).toEqual([...new Set(ports)].sort((a, b) => a - b))
})

test('the search ends somewhere, and says where it looked', async () => {
  await expect(freePorts(20_000, 201)).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: expect.stringMatching(/20000 to 20199/),
  })
})
