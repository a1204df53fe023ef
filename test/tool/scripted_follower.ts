/** The follower's end of a connection, played by a test message by message. */
import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type { Identity } from "../../src/replication/types.ts";
import type { Position } from "../../src/storage/log.ts";
import { type Channel, channel } from "../../src/wire/channel.ts";
import type { Heartbeat, Hello, KnownNode, Message, Welcome } from "../../src/wire/message.ts";
import { followerContext } from "../scenario/leader_stories.ts";
import { helloOf } from "../../src/replication/follower_handshake.ts";
import { FakeDatabase } from "./fake_database.ts";
import { identityOf, leaderPort, type Rig, theDatabase } from "./replication_rig.ts";

type Of<Type extends Message["type"]> = Message & { readonly type: Type };

export class ScriptedFollower {
  /** All messages that came, heartbeats left out. */
  readonly received: Message[] = [];
  /** The last question for a sign of life, and each list of nodes, that heartbeats brought. */
  lastAsk: number | undefined;
  readonly told: (readonly KnownNode[])[] = [];
  readonly #rig: Rig;
  readonly #channel: Channel;

  constructor(rig: Rig, channel: Channel) {
    this.#rig = rig;
    this.#channel = channel;
    void this.#read();
  }

  /** Connects and says hello and proof; returns before the answer. */
  static async connect(
    rig: Rig,
    position: Position,
    changes: Partial<Hello> = {},
    identity: Partial<Identity> & { readonly digit?: string } = {},
  ): Promise<ScriptedFollower> {
    const { digit = "b", ...rest } = identity, who = identityOf(digit, rest);
    const signal = new AbortController().signal;
    const connection = await rig.net.connect({ hostname: "leader", port: leaderPort, tls: null, signal });
    const wire = channel({ connection, bodyBytesMax: limits.frameBytesMax, onBytes: () => {} });
    const follower = new ScriptedFollower(rig, wire);
    const hello = helloOf(followerContext(new FakeDatabase(), null));
    const { nodeId, nodeName, autoFailover } = who;
    await follower.send({
      ...hello,
      nodeId,
      nodeName,
      autoFailover,
      position,
      databaseId: theDatabase,
      ...changes,
    });
    await follower.send({ type: "proof" });
    await rig.clock.settle();
    return follower;
  }

  get welcome(): Welcome | undefined {
    return this.received.find((message) => message.type === "welcome");
  }

  /** The refusal's code, or undefined. */
  get refused(): string | undefined {
    return this.last("refused")?.code;
  }

  last<Type extends Message["type"]>(type: Type): Of<Type> | undefined {
    return this.received.findLast((message): message is Of<Type> => message.type === type);
  }

  all<Type extends Message["type"]>(type: Type): Of<Type>[] {
    return this.received.filter((message): message is Of<Type> => message.type === type);
  }

  async send(message: Message): Promise<void> {
    await this.#channel.send(message);
    await this.#rig.clock.settle();
  }

  async until<Type extends Message["type"]>(type: Type): Promise<Of<Type>> {
    await this.#rig.clock.until(() => this.last(type) !== undefined, type);
    const message = this.last(type);
    assert.ok(message !== undefined);
    return message;
  }

  #hangUp(): void {
    this.#channel.abort(new DfdbError("unreachable", "the follower hangs up"));
  }

  async hangUp(): Promise<void> {
    this.#hangUp();
    await this.#rig.clock.settle();
  }

  #beat({ ask = this.lastAsk, knownNodes }: Heartbeat): void {
    this.lastAsk = ask;
    if (knownNodes !== undefined) this.told.push(knownNodes);
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#channel.receive();
        if (message === null) return;
        if (message.type === "heartbeat") this.#beat(message);
        else this.received.push(message);
        const { type } = message;
        if (type === "refused" || type === "goingAway" || type === "state") return this.#hangUp();
      }
    } catch {
      // the connection is gone
    }
  }
}
