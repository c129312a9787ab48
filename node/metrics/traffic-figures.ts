import type { PeerDriver } from '../driver.ts'
import type { FigureMaker } from './figure.ts'

/** What goes over the links, and what does not. */
export function trafficFigures(make: FigureMaker): (driver: PeerDriver) => void {
  const sent = make.shownCounter(
    {
      name: 'grapevine_node_sent_bytes_total',
      help: 'Bytes of frames to other peers: data are batches, control is all else. Control high without load: members come and go.',
    },
    ['stream'],
  )
  const received = make.shownCounter(
    {
      name: 'grapevine_node_received_bytes_total',
      help: 'Bytes of frames from other peers. Data far above what others publish: batches come twice.',
    },
    ['stream'],
  )
  const badFrames = make.shownCounter(
    {
      name: 'grapevine_node_bad_frames_total',
      help: 'Frames not understood, by what was wrong; the link is closed. unknownType: a newer version, skipped. Else: damage, or a stranger.',
    },
    ['kind'],
  )
  const dials = make.total({
    name: 'grapevine_node_dials_total',
    help: 'Dials to members and seeds. Rising for ever: somebody is away, and sought; or links rest and are needed again.',
  })
  const dialsFailed = make.total({
    name: 'grapevine_node_dials_failed_total',
    help: 'Dials to members and seeds that led to no link. Rising: somebody is away, or an address is wrong; links say who.',
  })
  return ({ traffic, badFrames: kinds, dials: dialed, dialsFailed: failed }) => {
    sent([
      [{ stream: 'control' }, traffic.controlBytesSent],
      [{ stream: 'data' }, traffic.dataBytesSent],
    ])
    received([
      [{ stream: 'control' }, traffic.controlBytesReceived],
      [{ stream: 'data' }, traffic.dataBytesReceived],
    ])
    badFrames([...kinds].map(([kind, count]) => [{ kind }, count]))
    dials(dialed)
    dialsFailed(failed)
  }
}
