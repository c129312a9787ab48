import { Command, InvalidArgumentError, Option } from 'commander'
import type { TopicAsked } from '#client/mesh'
import { parseAckLevel } from '#protocol/ack-level'
import type { RemainsView, TopicSummary, TopicView } from '#protocol/views'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from '../context.ts'
import { durationMsOf } from '../duration.ts'
import { counted, durationText, writeRows } from '../output.ts'
import { warn } from '../terminal.ts'

const help = `
orders.** is orders.eu and orders.eu.today, but not orders itself. The first
publish to a name makes it a topic, too, with the defaults.

Examples:
  $ grapevine topics
  $ grapevine topics 'bills.**' -o json
  $ grapevine topics create orders --replicas 5 --min-ack majority
  $ grapevine topics set orders --retention age=7d,bytes=10000000000
  $ grapevine topics show orders
  $ grapevine topics rm orders`

export function topicsCommand(context: Context): Command {
  const topics = new Command('topics').description('list, make, configure and delete topics').addHelpText('after', help)
  topics.addCommand(listCommand(context), { isDefault: true })
  for (const command of [showCommand, createCommand, setCommand, removeCommand]) topics.addCommand(command(context))
  return topics
}

const listCommand = (context: Context): Command =>
  withClientOptions(new Command('list'))
    .description('the topics that a peer knows; what topics does when it is told nothing else')
    .argument('[pattern]', '* is one token, a last ** the rest: orders.*, bills.**')
    .addHelpText('after', "\nExample:\n  $ grapevine topics list 'orders.*'")
    .action(async (pattern: string | undefined, options: ClientOptions) => {
      await using mesh = await connectTo(context, options)
      const signal = context.terminal.stop
      const which = pattern === undefined ? { signal } : { signal, match: pattern }
      const { topics, deleted } = await mesh.topicList(which)
      for (const remains of deleted) warn(context.terminal, remainsText(remains))
      await writeRows(context.terminal, formatOf(context, options), topics, [
        { title: 'topic', of: (topic) => topic.topic, style: () => 'bold' },
        { title: 'records', of: (topic) => (isKnown(topic) ? topic.records : '-') },
        { title: 'feeds', of: (topic) => (isKnown(topic) ? topic.feeds : '-') },
      ])
    })

const showCommand = (context: Context): Command =>
  withClientOptions(new Command('show'))
    .description('a topic with its configuration')
    .argument('<topic>')
    .addHelpText('after', '\nExample:\n  $ grapevine topics show orders -o json | jq .config')
    .action(async (topic: string, options: ClientOptions) => {
      await using mesh = await connectTo(context, options)
      await writeTopic(context, options, await mesh.topic(topic, { signal: context.terminal.stop }))
    })

const createHelp = `
A topic that is there as asked is fine; one with another configuration is not.

Examples:
  $ grapevine topics create orders
  $ grapevine topics create orders --replicas 5 --retention age=7d,records=1000000`

const createCommand = (context: Context): Command =>
  withConfigOptions(withClientOptions(new Command('create')))
    .description('make a topic')
    .argument('<topic>')
    .addHelpText('after', createHelp)
    .action(async (topic: string, options: ClientOptions & ConfigOptions) => {
      await using mesh = await connectTo(context, options)
      const made = await mesh.createTopic(topic, askedOf(options), { signal: context.terminal.stop })
      await writeTopic(context, options, made)
    })

const setHelp = `
What is not named stays as it is. With --if-version nothing is changed if somebody
else has changed the topic since it was read.

Examples:
  $ grapevine topics set orders --min-ack majority
  $ grapevine topics set orders --retention none
  $ grapevine topics set orders --replicas 3 --if-version 9c1185a5c5e9fc54`

const setCommand = (context: Context): Command =>
  withConfigOptions(withClientOptions(new Command('set')))
    .description('change the configuration of a topic')
    .argument('<topic>')
    .option('--if-version <version>', 'the version that was read, as show and -o json have it')
    .addHelpText('after', setHelp)
    .action(async (topic: string, options: ClientOptions & ConfigOptions & { readonly ifVersion?: string }) => {
      await using mesh = await connectTo(context, options)
      const version = options.ifVersion === undefined ? {} : { version: options.ifVersion }
      const changed = await mesh.changeTopic(topic, askedOf(options), { ...version, signal: context.terminal.stop })
      await writeTopic(context, options, changed)
    })

const removeHelp = `
Everything that the peer knows of the topic goes, everywhere, and the name is free.
What others publish before they hear of it is kept under a name of its own for a
while: see grapevine topics.

Example:
  $ grapevine topics rm orders`

const removeCommand = (context: Context): Command =>
  withClientOptions(new Command('rm'))
    .description('delete a topic')
    .argument('<topic>')
    .addHelpText('after', removeHelp)
    .action(async (topic: string, options: ClientOptions) => {
      await using mesh = await connectTo(context, options)
      const deleted = await mesh.deleteTopic(topic, { signal: context.terminal.stop })
      await writeRows(
        context.terminal,
        formatOf(context, options),
        [deleted],
        [
          { title: 'topic', of: (row) => row.topic, style: () => 'bold' },
          { title: 'generation', of: (row) => row.generation },
          { title: 'what others publish to it is read as', of: (row) => row.remains },
        ],
      )
    })

/** What a peer does not keep it may not have asked for yet. */
const isKnown = ({ kept, feeds }: TopicSummary): boolean => kept || feeds > 0

function remainsText({ topic, records, goesInMs }: RemainsView): string {
  const hours = durationText(goesInMs)
  return `${topic}: ${counted(records, 'record')} published to a deleted topic; gone in ${hours}`
}

// Configuration --------------------------------------------------------------------------------------------------------

interface ConfigOptions {
  readonly replicas?: number
  readonly retention?: TopicView['config']['retention']
  readonly minAck?: string
}

const withConfigOptions = (command: Command): Command =>
  command
    .addOption(new Option('--replicas <n>', 'copies that the mesh keeps (default: 3)').argParser(countOf))
    .addOption(
      new Option(
        '--retention <limits>',
        'a record goes when it exceeds one: age=7d,bytes=1000000,records=1000; or none (the default)',
      ).argParser(retentionOf),
    )
    .addOption(
      new Option(
        '--min-ack <level>',
        'what a publish waits for at least: local (the default), n:K, majority, all',
      ).argParser(levelOf),
    )

const askedOf = ({ replicas, retention, minAck }: ConfigOptions): TopicAsked => ({
  ...(replicas !== undefined && { replicas }),
  ...(retention !== undefined && { retention }),
  ...(minAck !== undefined && { minAck }),
})

function countOf(text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number above 0.')
}

function retentionOf(text: string): TopicView['config']['retention'] {
  if (text === 'none') return {}
  const limits = text.split(',').map((part): [string, number] => {
    const [, name, bound = ''] = /^(age|bytes|records)=(.+)$/.exec(part) ?? []
    if (name === undefined)
      throw new InvalidArgumentError('It must be like age=7d,bytes=1000000,records=1000, or none.')
    return name === 'age' ? ['ageMs', durationMsOf(bound)] : [name, countOf(bound)]
  })
  return Object.fromEntries(limits)
}

function levelOf(text: string): string {
  if (parseAckLevel(text) !== undefined) return text
  throw new InvalidArgumentError('It must be local, n:K, majority, all, n:K+majority or n:K+all.')
}

async function writeTopic(context: Context, options: ClientOptions, topic: TopicView): Promise<void> {
  await writeRows(
    context.terminal,
    formatOf(context, options),
    [topic],
    [
      { title: 'topic', of: ({ topic: name }) => name, style: () => 'bold' },
      { title: 'records', of: ({ records }) => records },
      { title: 'replicas', of: ({ config }) => config.replicas },
      { title: 'retention', of: ({ config }) => retentionText(config.retention) },
      { title: 'min ack', of: ({ config }) => config.minAck },
      { title: 'version', of: ({ version }) => version },
    ],
  )
}

function retentionText({ ageMs, bytes, records }: TopicView['config']['retention']): string {
  const limits = [
    ...(ageMs === undefined ? [] : [`age ${durationText(ageMs)}`]),
    ...(bytes === undefined ? [] : [`bytes ${bytes}`]),
    ...(records === undefined ? [] : [`records ${records}`]),
  ]
  return limits.join(', ') || 'none'
}
