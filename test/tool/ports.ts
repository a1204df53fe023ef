/** Loopback TCP ports for tests, the demo and the bench. */
import net from "node:net";
import process from "node:process";

const hostname = "127.0.0.1";

/**
 * Ports below those that systems give out by themselves: nobody's connection takes one while its node is not running. Tests that
 * run side by side are given ranges of their own: TEST_PORTS="10000-11999".
 */
const [firstPort = 10_000, lastPort = 31_999] = (process.env["TEST_PORTS"] ?? "10000-31999").split("-").map(
  Number,
);

let next = firstPort + Math.floor(Math.random() * (lastPort - firstPort));

/** Different ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: net.Server[] = [], ports: number[] = [];
  // All are held until the last is found, so that none is given twice.
  for (let attempts = 0; ports.length < count; attempts++) {
    next = next >= lastPort ? firstPort : next + 1;
    const port = next;
    try {
      servers.push(await listen(port));
      ports.push(port);
    } catch (error) {
      if (attempts > 1_000) throw error;
    }
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!;
}

/** True when something listens on the port, or may not be listened on. */
export async function portTaken(port: number): Promise<boolean> {
  // Both are asked: some systems let a program listen on one address while another holds the port on all of them.
  if (await somebodyAnswers(port)) return true;
  try {
    const server = await listen(port);
    await new Promise((resolve) => server.close(resolve));
    return false;
  } catch {
    return true;
  }
}

function listen(port: number): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen({ host: hostname, port }, () => resolve(server));
  });
}

function somebodyAnswers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: hostname, port });
    const answer = (taken: boolean): void => {
      socket.destroy();
      resolve(taken);
    };
    socket.setTimeout(1_000, () => answer(true));
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}
