/**
 * Running a decision graph on a packet, without registers and without an engine: what a path comparison confirms its
 * packets with.
 */

import { ALU, CONDITION } from "../isa/semantics.ts";
import type { Node } from "../optimize/graph.ts";
import type { Value } from "../optimize/value.ts";
import { NO_CONTEXT } from "../program/packet-context.ts";
import { LOAD_FAILED, loadPacket } from "../program/packet-load.ts";

/** The verdict, or undefined where the graph needs what a bare packet does not have. */
export function evaluate(root: Node, packet: Uint8Array): number | undefined {
  const params = new Map<Value, number>();
  let node = root;
  for (;;) {
    switch (node.kind) {
      case "return": {
        const value = number(node.value, packet, params);
        return value === "fails" ? 0 : value;
      }
      case "test": {
        const left = number(node.left, packet, params);
        const right = number(node.right, packet, params);
        if (left === undefined || right === undefined) return undefined;
        if (left === "fails" || right === "fails") return 0;
        node = CONDITION[node.cond](left, right) ? node.yes : node.no;
        break;
      }
      case "touch":
      case "let": {
        const value = number(node.value, packet, params);
        if (value === undefined) return undefined;
        if (value === "fails") return 0;
        if (node.kind === "let") params.set(node.param, value);
        node = node.next;
        break;
      }
      default:
        return undefined;
    }
  }
}

/** A value on a packet; "fails" where its evaluation ends the program. */
export function number(
  value: Value,
  packet: Uint8Array,
  params: ReadonlyMap<Value, number>,
): number | "fails" | undefined {
  switch (value.op) {
    case "const":
      return value.k;
    case "length":
      return packet.length;
    case "param":
      return params.get(value);
    case "load": {
      const anchor = value.anchor === undefined ? 0 : number(value.anchor, packet, params);
      if (typeof anchor !== "number") return anchor;
      const loaded = loadPacket(packet, 0, packet.length, NO_CONTEXT, (anchor + value.k) >>> 0, value.size);
      return loaded === LOAD_FAILED ? "fails" : loaded;
    }
    case "ancillary":
    case "random":
    case "nlattr":
    case "result":
      return undefined;
    default: {
      const left = number(value.left, packet, params);
      const right = number(value.right, packet, params);
      if (typeof left !== "number") return left;
      if (typeof right !== "number") return right;
      if ((value.op === "div" || value.op === "mod") && right === 0) return "fails";
      return ALU[value.op](left, right);
    }
  }
}
