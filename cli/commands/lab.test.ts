// Who is told to be deaf to whom.
import { expect, test } from 'vitest'
import { FakeGateway, problem } from '#test/fake-gateway'
import { fakeTerminal } from '#test/fake-terminal'
import { exitCodes } from '../exit-codes.ts'
import { run } from '../main.ts'

async function mesh(...names: string[]) {
  const gateways = await Promise.all(names.map((name) => FakeGateway.start(name)))
  const members = gateways.map(({ name, peerId, url }) => ({ id: peerId, name, http: url, state: 'alive' as const }))
  for (const gateway of gateways) gateway.members = members
  const dispose = async () => void (await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]())))
  const links = () =>
    gateways.map(({ labLinks }) =>
      labLinks.map(({ from, loss, delayMs }) => `${from.replace('12D3KooW', '')} ${loss} ${delayMs}`).join(),
    )
  const dropped = () => gateways.map(({ dropped: ids }) => ids.map((id) => id.replace('12D3KooW', '')).join())
  return { gateways, dropped, links, url: gateways[0]?.url ?? '', [Symbol.asyncDispose]: dispose }
}

async function lab(url: string, ...args: string[]) {
  const { terminal, stderr } = fakeTerminal()
  const code = await run(['lab', ...args, '--server', url], terminal)
  return { code, stderr: stderr.text }
}

test('each side is told to drop the other, and heal undoes it', async () => {
  await using five = await mesh('oak', 'elm', 'ash', 'fir', 'yew')
  expect(await lab(five.url, 'split', 'oak,elm', '/', 'ash,fir,yew')).toMatchObject({ code: exitCodes.ok, stderr: '' })
  expect(five.dropped()).toEqual(['ash,fir,yew', 'ash,fir,yew', 'oak,elm', 'oak,elm', 'oak,elm'])
  expect((await lab(five.url, 'heal')).code).toBe(exitCodes.ok)
  expect(five.dropped()).toEqual(['', '', '', '', ''])
})

test('there may be three sides, peer ids for names, and blanks anywhere', async () => {
  await using three = await mesh('oak', 'elm', 'ash')
  expect((await lab(three.url, 'split', 'oak /', '12D3KooWelm/ash')).code).toBe(exitCodes.ok)
  expect(three.dropped()).toEqual(['elm,ash', 'oak,ash', 'oak,elm'])
})

test('a peer on no side is warned of, for it still connects them', async () => {
  await using three = await mesh('oak', 'elm', 'ash')
  expect((await lab(three.url, 'split', 'oak', '/', 'elm')).stderr).toContain('ash on no side')
  expect(three.dropped()).toEqual(['elm', 'oak', ''])
})

test.each([
  ['oak,elm', exitCodes.usage, 'at least two sides'],
  ['oak /', exitCodes.usage, 'is empty'],
  ['oak / elm,oak', exitCodes.usage, 'oak stands there twice'],
  [
    'oak / elmo',
    exitCodes.failed,
    'elmo is not a member; there are: oak, elm. Names and peer ids are listed by "grapevine members"',
  ],
])('%j is refused and nobody is told anything', async (sides, code, complaint) => {
  await using two = await mesh('oak', 'elm')
  const result = await lab(two.url, 'split', sides)
  expect(result.code).toBe(code)
  expect(result.stderr).toContain(complaint)
  expect(two.dropped()).toEqual(['', ''])
})

test('exit code 3 if some peers did not take the order, 1 if none did', async () => {
  await using two = await mesh('oak', 'elm')
  const refuse: FakeGateway['intercept'] = (request, response) => {
    if (request.url?.includes('/lab/') !== true) return false
    problem(response, 'LAB_DISABLED')
    return true
  }
  for (const code of [exitCodes.degraded, exitCodes.failed]) {
    const next = two.gateways.find((gateway) => gateway.intercept !== refuse)
    if (next !== undefined) next.intercept = refuse
    expect((await lab(two.url, 'split', 'oak / elm')).code).toBe(code)
  }
})

test('a link is made slow and lossy both ways or one way, beside those that are already, and as before', async () => {
  await using three = await mesh('oak', 'elm', 'ash')
  await lab(three.url, 'link', 'oak', 'elm', '--loss', '0.3', '--delay', '200ms')
  expect(three.links()).toEqual(['elm 0.3 200', 'oak 0.3 200', ''])
  await lab(three.url, 'link', 'ash', 'elm', '--one-way', '--loss', '1')
  expect(three.links()).toEqual(['elm 0.3 200', 'oak 0.3 200,ash 1 0', ''])
  expect((await lab(three.url, 'link', 'elm', 'oak')).code).toBe(exitCodes.ok)
  expect(three.links()).toEqual(['', 'ash 1 0', ''])
  await lab(three.url, 'link', 'elm', 'ash', '--delay', '1s')
  await lab(three.url, 'heal')
  expect(three.links()).toEqual(['', '', ''])
})

test.each([
  [['oak', 'oak', '--loss', '0.1'], 'oak and oak are one peer'],
  [['oak', 'elm', '--loss', '30'], 'It must be a number from 0 to 1'],
  [['oak', 'elm', '--delay', '200'], 'It must be a duration'],
])('lab link %j is no order', async (args, complaint) => {
  await using two = await mesh('oak', 'elm')
  const { code, stderr } = await lab(two.url, 'link', ...args)
  expect([code, two.links()]).toEqual([exitCodes.usage, ['', '']])
  expect(stderr).toContain(complaint)
})
