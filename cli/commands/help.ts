import { Command } from 'commander'
import { MeshError } from '#protocol/errors'

/** Commander's own takes a command that it does not know for none at all. */
export function helpCommand(program: Command): Command {
  return new Command('help')
    .description('explain a command')
    .argument('[command...]', 'such as pub, or lab split')
    .action((names: readonly string[]) => {
      let command = program
      for (const name of names) {
        const found = command.commands.find((child) => child.name() === name)
        if (found === undefined) throw new MeshError('USAGE', `unknown command '${names.join(' ')}'`)
        command = found
      }
      command.help()
    })
}
