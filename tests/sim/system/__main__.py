"""`python -m tests.sim.system --seeds 1-300`, or `--seed 7` for one with its trace."""

import click

from tests.sim.system.world import World, describe


@click.command()
@click.option("--seed", type=int)
@click.option("--seeds", default="1-300")
def main(seed: int | None, seeds: str) -> None:
    first, last = (seed, seed) if seed is not None else map(int, seeds.split("-"))
    for number in range(first, last + 1):
        world = World(number)
        try:
            world.run()
        except BaseException:
            print(describe(world))
            print(*world.timeline.lines(), sep="\n")
            print(f"FAILED: seed {number}")
            raise
        print(number, f"{world.timeline.hash:08x}", world.timeline.now, len(world.queue.tasks))


if __name__ == "__main__":
    main()
