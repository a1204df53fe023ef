/** Mistakes in the replication between masters. */
import { utf8 } from "../../../src/base/bytes.ts";
import type { RunId } from "../../../src/base/ids.ts";
import { EntryWriter } from "../../../src/multimaster/entry_writer.ts";
import { ReceiverHistory } from "../../../src/multimaster/receiver_history.ts";
import { ReceiverMemory } from "../../../src/multimaster/receiver_memory.ts";
import { type Batch, Link } from "../../../src/multimaster/sender_link.ts";
import type { RunningNode } from "../../../src/node/node.ts";
import type { ReadView, Storage } from "../../../src/storage/storage.ts";
import { every, onNode, type Plant, wrap } from "./plant.ts";

/** `make` makes other versions of the keys that are sent. */
function otherBatches(make: (link: Link, batch: Batch) => Batch): () => void {
  return wrap(Link.prototype, "body", (body) =>
    function (this: Link, batch) {
      return body.call(this, make(this, batch));
    });
}

function cursorWithoutBatch(): () => void {
  const due = every(10);
  return wrap(EntryWriter.prototype, "add", (add) =>
    function (this: EntryWriter, operations) {
      const lost = operations.some(({ kind }) => kind === "setVersions") && due();
      return add.call(this, lost ? [] : operations);
    });
}

/** Of each run, as high as this link has sent. */
function maximumWithholds(): () => void {
  const sent = new WeakMap<Link, Map<RunId, number>>();
  return otherBatches((link, batch) => {
    const highest = sent.get(link) ?? new Map<RunId, number>();
    sent.set(link, highest);
    const keys = batch.keys.filter(({ versions }) =>
      versions.some(({ dot: { run, seq } }) => seq > (highest.get(run) ?? 0))
    );
    for (const { versions } of keys) {
      for (const { dot: { run, seq } } of versions) {
        highest.set(run, Math.max(highest.get(run) ?? 0, seq));
      }
    }
    return { ...batch, keys };
  });
}

function vectorNotSent(): () => void {
  const due = every(5);
  return otherBatches((_link, batch) => ({
    ...batch,
    keys: batch.keys.map((key) => {
      if (!due()) return key;
      return { ...key, versions: key.versions.map((version) => ({ ...version, vector: [version.dot] })) };
    }),
  }));
}

function deletionsNotSent(): () => void {
  return otherBatches((_link, batch) => ({
    ...batch,
    keys: batch.keys.filter(({ versions }) => versions.some(({ body }) => body !== null)),
  }));
}

function withheldForEver(): () => void {
  return wrap(ReceiverHistory.prototype, "has", () =>
    function (this: ReceiverHistory, tree, dot) {
      return tree.get(dot.run)?.database === this.receiver.databaseId;
    });
}

function cursorAlwaysMoved(): () => void {
  const own = Object.getOwnPropertyDescriptor(ReceiverMemory.prototype, "ahead") as PropertyDescriptor;
  Object.defineProperty(ReceiverMemory.prototype, "ahead", { ...own, get: () => Infinity });
  return () => void Object.defineProperty(ReceiverMemory.prototype, "ahead", own);
}

/** What `policy` reads of the document of settings, each node reads as its own wish. */
function localPolicy(): () => void {
  return onNode(({ storage }: RunningNode) => {
    const read = storage.read.bind(storage) as Storage["read"];
    const policy = JSON.stringify({ policy: "prefer", databases: [storage.databaseId] });
    const otherView = (view: ReadView): ReadView =>
      new Proxy(view, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (name === "document") {
            return (...args: Parameters<ReadView["document"]>) => {
              const found = target.document(...args);
              return found !== null && args[1] === "Replication/Config" ? { ...found, body: policy } : found;
            };
          }
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    storage.read = (run) => read((view) => run(otherView(view)));
  });
}

/** Bytes that are the same when they are read, and not to the letter. */
function bodyWrittenAnew(): () => void {
  const due = every(10);
  return otherBatches((_link, batch) => ({
    ...batch,
    keys: batch.keys.map((key) => ({
      ...key,
      versions: key.versions.map((version) => {
        if (version.body === null || !due()) return version;
        return { ...version, body: utf8(new TextDecoder().decode(version.body).replace("{", "{ ")) };
      }),
    })),
  }));
}

export const mastersPlants: Readonly<Record<string, Plant>> = {
  cursor_without_batch: {
    mistake: "now and then a key of a batch is left out, and the cursor goes on",
    masters: true,
    plant: cursorWithoutBatch,
  },
  maximum_withholds: {
    mistake: "what is below the highest entry of a run that was sent is withheld",
    masters: true,
    plant: maximumWithholds,
  },
  vector_not_sent: {
    mistake: "now and then a version is sent without what its writer had seen",
    masters: true,
    plant: vectorNotSent,
  },
  deletions_not_sent: { mistake: "tombstones stay where they are", masters: true, plant: deletionsNotSent },
  withheld_for_ever: {
    mistake: "what a receiver wrote is never sent back to it, also when it has lost it",
    masters: true,
    plant: withheldForEver,
  },
  cursor_always_moved: {
    mistake: "a cursor is put after each run, also when nothing was sent",
    masters: true,
    plant: cursorAlwaysMoved,
  },
  local_policy: {
    mistake: "each master prefers what it has written itself",
    masters: true,
    plant: localPolicy,
  },
  body_written_anew: {
    mistake: "now and then a body is not the same to the letter",
    masters: true,
    plant: bodyWrittenAnew,
  },
};
