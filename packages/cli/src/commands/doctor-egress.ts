import type { Machine } from "@nullspace/sdk";
import { openClient } from "../client.js";
import { resolveAccount } from "../configuration.js";
import { describePolicy } from "../egress/policy.js";
import { GUEST_PROGRAM } from "../egress/guest-program.js";
import { allowsNothing, forbiddenProbes, outsideProbes, type Probe } from "../egress/probes.js";
import type { CommonOptions } from "../options.js";
import { withProgress } from "../progress.js";
import { print, printJson, styled, table } from "../terminal.js";

/** Every machine's own, whatever its template. */
const NODE = "/opt/nullspace/bin/node";
const PROBE_TIMEOUT_MS = 120_000;

/** Options of `nullspace doctor egress`. */
export interface DoctorEgressFlags extends CommonOptions {
  machine?: string;
}

/** A target, and whether something came back from it. */
interface Finding extends Probe {
  readonly policy: string;
  readonly reached: boolean;
  /** What happened, in a word. */
  readonly how: string;
}

/**
 * `nullspace doctor egress`: tries from inside a machine what no machine may reach. A machine of
 * its own is tried with everything allowed, then with nothing. Gives the exit code: 1 when
 * something was reached.
 */
export async function doctorEgress(flags: DoctorEgressFlags): Promise<number> {
  const { url } = await resolveAccount(flags);
  await using client = await openClient(flags);
  const forbidden = await forbiddenProbes(url);
  const findings: Finding[] = [];
  if (flags.machine !== undefined) {
    const machine = await client.machines.connect(flags.machine);
    const { egress } = await machine.getInfo({ fields: ["egress"] });
    const probes = [...forbidden, ...(allowsNothing(egress) ? outsideProbes() : [])];
    const trying = probe(machine, describePolicy(egress), probes);
    findings.push(...(await withProgress("trying", trying)));
  } else {
    const creating = client.machines.create({ network: { egress: "allowAll" } });
    await using machine = await withProgress("starting a machine", creating);
    const open = probe(machine, "allow-all", forbidden);
    findings.push(...(await withProgress("trying with everything allowed", open)));
    await machine.updateEgress({});
    const closed = probe(machine, "nothing", [...forbidden, ...outsideProbes()]);
    findings.push(...(await withProgress("trying with nothing allowed", closed)));
  }
  const reached = findings.filter((finding) => finding.reached);
  if (flags.json) printJson({ ok: reached.length === 0, findings });
  else {
    print(table(["", "POLICY", "WHAT", "TARGET", "RESULT"], findings.map(rowOf)));
    print(
      reached.length === 0
        ? `${styled("green", "✓")} none of ${findings.length} targets was reached\n`
        : `${styled("red", "✗")} ${reached.length} of ${findings.length} targets were reached\n`,
    );
  }
  return reached.length === 0 ? 0 : 1;
}

async function probe(machine: Machine, policy: string, probes: Probe[]): Promise<Finding[]> {
  const input = JSON.stringify({ targets: probes, ipv6: true });
  const result = await machine.commands.run(NODE, {
    args: ["-e", GUEST_PROGRAM, input],
    user: "root",
    timeoutMs: PROBE_TIMEOUT_MS,
  });
  const answers: unknown = JSON.parse(result.orThrow().stdout);
  if (!Array.isArray(answers) || answers.length !== probes.length) {
    throw new Error(`the machine told of other targets: ${result.stdout}`);
  }
  return probes.map((one, index) => ({ ...one, policy, ...answerOf(answers[index]) }));
}

/** What cannot be read is no proof that nothing was reached. */
function answerOf(answer: unknown): { reached: boolean; how: string } {
  if (typeof answer !== "object" || answer === null) return { reached: true, how: "unclear" };
  const reached: unknown = Reflect.get(answer, "reached");
  return { reached: reached !== false, how: String(Reflect.get(answer, "how")) };
}

function rowOf({ reached, policy, what, kind, host, port, how }: Finding): string[] {
  const target = port === undefined ? `${kind} ${host}` : `${kind} ${host} port ${port}`;
  return [
    styled(reached ? "red" : "green", reached ? "REACHED" : "held"),
    policy,
    what,
    target,
    how,
  ];
}
