import type { Deadline } from "../deadline.js";
import { NETWORK_CARD_ID } from "../qemu/command-line.js";
import type { HostedMachine } from "./hosted-machine.js";

/** Gives the guest's network card a link, and waits until its kernel knows: the next packet is not refused. */
export async function linkUp({ qemu, helper }: HostedMachine, deadline: Deadline): Promise<void> {
  await qemu.qmp.execute("set_link", { name: NETWORK_CARD_ID, up: true }, deadline);
  await helper.request("await-link", [], deadline);
}

/** Takes the link of the guest's network card: its programs then hear that there is no network. */
export async function linkDown({ qemu }: HostedMachine, deadline?: Deadline): Promise<void> {
  await qemu.qmp.execute("set_link", { name: NETWORK_CARD_ID, up: false }, deadline);
}
