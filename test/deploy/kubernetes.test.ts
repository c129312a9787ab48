// Goal: what `kubectl apply -k` would send is what Kubernetes takes, and fits together: services select the pods, ports
// and names meet, settings are ones that a peer knows. Method: rendered by kubectl, checked against the schemas of the
// Kubernetes API; no cluster is asked.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { type Model } from '@kubernetes-models/base'
import { StatefulSet } from 'kubernetes-models/apps/v1'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Namespace, Secret, Service } from 'kubernetes-models/v1'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { parseTokenFile } from '#protocol/token-file'
import { envNameOf, nodeConfigSchema, parseNodeConfig } from '#node/config'

interface Resource {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

const kinds: Readonly<Record<string, new (data: never) => Model<unknown>>> = {
  Namespace,
  NetworkPolicy,
  PodDisruptionBudget,
  Secret,
  Service,
  StatefulSet,
}

const lack = lackOfKubectl()
if (lack !== undefined) console.warn(`kubernetes: skipped. It needs ${lack}`)

describe.skipIf(lack !== undefined).each(['base', 'overlays/local'])('deploy/kubernetes/%s', (directory) => {
  const resources = lack === undefined ? rendered(directory) : []
  const only = <T>(kind: string, name = 'grapevine'): T =>
    resources.find((resource) => resource.kind === kind && resource.metadata.name === name) as T
  const set = only<StatefulSetData>('StatefulSet')

  test.each(resources.map((resource) => [`${resource.kind} ${resource.metadata.name}`, resource] as const))(
    '%s is what the API takes',
    (_, resource) => {
      const kind = kinds[resource.kind]
      expect(kind, resource.kind).toBeDefined()
      if (kind !== undefined) new kind(resource as never).validate()
    },
  )

  test('what selects pods selects those of the set', () => {
    const { labels } = set.spec.template.metadata
    const selectors = resources.flatMap((resource) => selectorOf(resource) ?? [])
    expect(selectors).toHaveLength(5)
    for (const selector of selectors) expect(labels).toMatchObject(selector)
  })

  test('the service of the peers answers before they are ready, and ports meet by name', () => {
    const peers = only<ServiceData>('Service', 'grapevine-peers')
    expect(set.spec.serviceName).toBe(peers.metadata.name)
    expect(peers.spec).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true })
    const [{ ports }] = set.spec.template.spec.containers
    const named = new Map(ports.map(({ name, containerPort }) => [name, containerPort]))
    const services = resources.filter(({ kind }) => kind === 'Service') as unknown as readonly ServiceData[]
    for (const { spec } of services) {
      for (const { port, targetPort } of spec.ports) expect(named.get(targetPort)).toBe(port)
    }
  })

  test('settings are ones that a peer knows and starts with', () => {
    const [{ env }] = set.spec.template.spec.containers
    // The token is for commands that are run there.
    const known = [...Object.keys(nodeConfigSchema.shape).map(envNameOf), 'GRAPEVINE_TOKEN']
    expect(known).toEqual(expect.arrayContaining(env.map(({ name }) => name)))
    const name = 'grapevine-0'
    const values = env.map((variable) => [variable.name, variable.value?.replaceAll('$(GRAPEVINE_NAME)', name) ?? name])
    const ofImage = { GRAPEVINE_LISTEN: '0.0.0.0:7400', GRAPEVINE_HTTP: '0.0.0.0:8400', GRAPEVINE_DATA: '/data' }
    const config = parseNodeConfig({ flags: {}, env: { ...ofImage, ...Object.fromEntries(values) } })
    expect(config).toMatchObject({
      name,
      join: ['grapevine-peers:7400'],
      advertise: 'grapevine-0.grapevine-peers:7400',
      insecure: false,
    })
  })

  test('every file that is named as a secret is mounted, from the secret that is there', () => {
    const { containers, volumes } = set.spec.template.spec
    const [{ env, volumeMounts }] = containers
    const mount = volumeMounts.find((one) => one.name === 'secrets')
    const files = env.filter(({ name }) => name.endsWith('_FILE')).map(({ value }) => value)
    expect(files).toHaveLength(2)
    const secretName = volumes.find((volume) => volume.name === 'secrets')?.secret?.secretName
    const secret = resources.find((one) => one.kind === 'Secret') as unknown as SecretData | undefined
    // The base leaves it to whoever installs it.
    expect(secretName).toBe(secret?.metadata.name ?? 'grapevine')
    for (const file of files) {
      expect(file?.startsWith(`${mount?.mountPath}/`)).toBe(true)
      if (secret !== undefined) expect(Object.keys(secret.data)).toContain(file?.split('/').at(-1))
    }
    if (secret !== undefined) {
      const tokens = parseTokenFile(Buffer.from(secret.data['tokens'] ?? '', 'base64').toString())
      const shown = env.find(({ name }) => name === 'GRAPEVINE_TOKEN')?.value ?? ''
      expect(tokens).toMatchObject([
        {
          sha256: createHash('sha256')
            .update(shown.split('_').at(-1) ?? '')
            .digest('hex'),
        },
      ])
    }
  })
})

interface StatefulSetData {
  readonly spec: {
    readonly serviceName: string
    readonly template: {
      readonly metadata: { readonly labels: object }
      readonly spec: { readonly containers: readonly [ContainerData]; readonly volumes: readonly VolumeData[] }
    }
  }
}
interface VolumeData {
  readonly name: string
  readonly secret?: { readonly secretName: string }
}
interface ContainerData {
  readonly env: readonly { readonly name: string; readonly value?: string }[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}
interface ServiceData {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly ports: readonly { readonly port: number; readonly targetPort: string }[] }
}
interface SecretData {
  readonly metadata: { readonly name: string }
  readonly data: Readonly<Record<string, string>>
}

/** The labels by which a resource picks pods; undefined if it picks none. */
function selectorOf({ kind, ...resource }: Resource): object | undefined {
  const { spec } = resource as unknown as {
    readonly spec: {
      readonly selector: { readonly matchLabels?: object }
      readonly podSelector: { matchLabels: object }
    }
  }
  if (kind === 'NetworkPolicy') return spec.podSelector.matchLabels
  if (kind === 'Service') return spec.selector
  return kind === 'StatefulSet' || kind === 'PodDisruptionBudget' ? spec.selector.matchLabels : undefined
}

function rendered(directory: string): readonly Resource[] {
  const text = execFileSync('kubectl', ['kustomize', `deploy/kubernetes/${directory}`], { encoding: 'utf8' })
  return parseAllDocuments(text).map((document) => document.toJS({ reviver: withoutBreaks }) as Resource)
}

/** Kustomize breaks long base64 into lines, which Kubernetes takes and the schema does not. */
const withoutBreaks = (_: unknown, value: unknown): unknown =>
  typeof value === 'string' && /^[\w+/=\n]+$/.test(value) ? value.replaceAll('\n', '') : value

/** Kustomize came to know what we use of it with version 5, which kubectl has built in since 1.27. */
function lackOfKubectl(): string | undefined {
  const { error, stdout } = spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' })
  if (error !== undefined) return 'kubectl'
  return /^Kustomize Version: v[5-9]/m.test(stdout) ? undefined : 'kubectl 1.27 or newer'
}
