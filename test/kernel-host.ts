/**
 * What the kernel tests need of the machine: whether it can be had, and a veth pair in a private network.
 */
import { loadAddon, status } from "../src/kernel/load.ts";
import { openNetlinkSocket } from "../src/kernel/local-sockets.ts";
import { PrivateNetwork } from "../src/kernel/private-network.ts";

/** Why the addon cannot be used here, or undefined when it can. */
export function withoutAddon(): string | undefined {
  return status().available ? undefined : status().message;
}

/** Why there is no private network here, or undefined when there is. */
export function withoutPrivilege(): string | undefined {
  if (!status().available) return status().message;
  try {
    new PrivateNetwork().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Prints why a file's tests are skipped. */
export function announce(name: string, reason: string | undefined): void {
  if (reason !== undefined) console.log(`${name}: skipped, ${reason}`);
}

/** A network with a veth pair `va` and `vb`, both up. */
export class VethNetwork extends PrivateNetwork {
  constructor() {
    super();
    try {
      createVeth(this.netns);
      const addon = loadAddon();
      const control = addon.openSocket(2, 2, 0, this.netns);
      const up = (name: string): void => {
        const answer = addon.interfaceUp(control, name);
        if (answer < 0) throw new Error(`bringing ${name} up: ${answer}`);
      };
      // The end that is up first throws away what it is to send until a kernel worker has seen its carrier.  Setting the
      // flag again waits for that worker, who says "running" a moment before it is done.
      for (const name of ["vb", "va"]) up(name);
      for (let i = 0; i < 5000 && !["va", "vb"].every((name) => isRunning(control, name)); i++) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
      for (const name of ["vb", "va"]) up(name);
      addon.closeFd(control);
    } catch (error) {
      this.close();
      throw error;
    }
  }
}

const IFF_RUNNING = 0x40;

function isRunning(control: number, name: string): boolean {
  const info = loadAddon().interfaceInfo(control, name);
  return typeof info !== "number" && (info.flags & IFF_RUNNING) !== 0;
}

/** RTM_NEWLINK of a veth pair (rtnetlink(7), include/uapi/linux/{if_link,veth}.h); the hosts here are little-endian. */
function createVeth(netns: number): void {
  const u16 = (value: number): number[] => [value & 255, value >> 8];
  const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
  const text = (value: string): number[] => [...new TextEncoder().encode(value), 0];
  const attribute = (type: number, data: readonly number[]): number[] => {
    const padding = new Array<number>((4 - (data.length % 4)) % 4).fill(0);
    return [...u16(4 + data.length), ...u16(type), ...data, ...padding];
  };
  const ifinfo = new Array<number>(16).fill(0);
  const peer = attribute(1, [...ifinfo, ...attribute(3, text("vb"))]);
  const link = attribute(18, [...attribute(1, text("veth")), ...attribute(2, peer)]);
  const body = [...ifinfo, ...attribute(3, text("va")), ...link];
  const [RTM_NEWLINK, REQUEST_ACK_CREATE_EXCL] = [16, 0x605];
  const header = [...u32(16 + body.length), ...u16(RTM_NEWLINK), ...u16(REQUEST_ACK_CREATE_EXCL), ...u32(1), ...u32(0)];
  const socket = openNetlinkSocket({ protocol: 0, netns });
  try {
    socket.send(Uint8Array.from([...header, ...body]));
    const reply = socket.receive();
    const error = reply === undefined ? -1 : new DataView(reply.bytes.buffer).getInt32(16, true);
    if (error !== 0) throw new Error(`making a veth pair: ${error}`);
  } finally {
    socket.close();
  }
}
