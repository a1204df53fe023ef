import assert from "node:assert/strict";
import test from "node:test";
import { limits } from "../../src/base/limits.ts";
import { strictJson } from "../../src/document/strict_json.ts";
import { databaseUrl, failureKey, leaderUrl, readDestinations } from "../../src/multimaster/destinations.ts";

const read = (...entries: readonly unknown[]) => readDestinations(JSON.stringify({ Destinations: entries }));
const urls = (...entries: readonly unknown[]) => read(...entries).destinations.map(({ url }) => url);
/** What is said of the one entry. */
function problem(entry: unknown): string {
  const { destinations, problems } = read(entry);
  assert.deepEqual([destinations, problems.length, problems[0]?.index], [[], 1, 0], JSON.stringify(entry));
  return problems[0]?.message ?? "";
}

test("the document with a comma after its last entry", () => {
  const text = `{
  "Destinations": [
    {
      "Url": "http://raven_two:8080/"
    },
    {
      "Url": "http://raven_three:8080/"
    },
  ]
}`;
  const { destinations, problems } = readDestinations(text);
  assert.deepEqual(problems, []);
  assert.deepEqual(
    destinations,
    ["http://raven_two:8080", "http://raven_three:8080"].map((url) => ({
      url,
      apiKey: null,
      disabled: false,
      transitive: false,
      collections: null,
      filter: "",
    })),
  );
  assert.equal(JSON.parse(strictJson(text)).Destinations.length, 2);
});

test("what an entry may have", () => {
  const { destinations: [one], problems } = read({
    Url: "https://b:8443/base/",
    Database: "north sea",
    ApiKey: "name/secret",
    Disabled: true,
    TransitiveReplicationBehavior: "Replicate",
    SpecifiedCollections: ["Users", "orders", "users"],
    IgnoredClient: true,
    ClientVisibleUrl: null,
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(one, {
    url: "https://b:8443/base/db/north%20sea",
    apiKey: "name/secret",
    disabled: true,
    transitive: true,
    collections: ["orders", "users"],
    filter: "transitive:only=orders,users",
  });
  assert.deepEqual(urls({ Url: "http://b", ApiKey: null, Database: null, Disabled: null }), ["http://b"]);
});

test("the filter is the same text for the same choice, and another for each other one", () => {
  const filterOf = (more: Record<string, unknown>) =>
    read({ Url: "http://b", ...more }).destinations[0]?.filter;
  const filters = [
    filterOf({}),
    filterOf({ TransitiveReplicationBehavior: "Replicate" }),
    filterOf({ SpecifiedCollections: ["transitive"] }),
    filterOf({ SpecifiedCollections: ["a"] }),
    filterOf({ SpecifiedCollections: ["a", "b"] }),
    filterOf({ SpecifiedCollections: ["a"], TransitiveReplicationBehavior: "Replicate" }),
  ];
  assert.equal(new Set(filters).size, filters.length, filters.join(" | "));
  assert.equal(
    filterOf({ SpecifiedCollections: ["B", "a"] }),
    filterOf({ SpecifiedCollections: ["A", "b", "a"] }),
  );
  assert.equal(filterOf({ TransitiveReplicationBehavior: "None" }), "");
});

test("a URL is written in one way", () => {
  const same = ["http://B:80/", "http://b", " http://b:80 ", "HTTP://b/"];
  assert.deepEqual([...new Set(same.map((text) => databaseUrl(text)))], ["http://b"]);
  assert.equal(databaseUrl("http://b/one/"), "http://b/one");
  assert.equal(databaseUrl("http://b/one//"), "http://b/one/", "one slash is dropped");
  assert.equal(databaseUrl("http://b:1/", "x/y"), "http://b:1/db/x%2Fy");
  assert.equal(databaseUrl("http://[::1]:8080/"), "http://[::1]:8080");
});

test("a bad entry is told with its place and skipped, the others go on", () => {
  const { destinations, problems } = read({ Url: "http://b" }, "http://c", { Url: "ftp://d" }, {
    Url: "http://e",
  });
  assert.deepEqual(destinations.map(({ url }) => url), ["http://b", "http://e"]);
  assert.deepEqual(problems, [
    { index: 1, message: "Destinations[1] is skipped: it must be an object" },
    { index: 2, message: 'Destinations[2] is skipped: Url must be one of http or https, not "ftp://d"' },
  ]);
});

test("what is wrong with an entry is said", () => {
  assert.match(problem({}), /Url is missing/);
  assert.match(problem({ url: "http://b" }), /url is not known; there are ApiKey, .*Url/);
  assert.match(problem({ Url: "" }), /Url must not be empty/);
  assert.match(problem({ Url: 7 }), /Url must be a text/);
  assert.match(problem({ Url: "raven_two:8080" }), /http or https/);
  assert.match(problem({ Url: "http://b:99999" }), /http or https/);
  assert.match(problem({ Url: "http://user:pw@b" }), /ApiKey/);
  assert.match(problem({ Url: "http://b/?x=1" }), /without \? and #/);
  assert.match(problem({ Url: "http://b", Database: "" }), /Database must not be empty/);
  assert.match(problem({ Url: "http://b", ApiKey: 1 }), /ApiKey must be a text/);
  assert.match(problem({ Url: "http://b", Disabled: "yes" }), /Disabled must be true or false/);
  assert.match(
    problem({ Url: "http://b", TransitiveReplicationBehavior: "All" }),
    /must be None or Replicate/,
  );
  assert.match(problem({ Url: "http://b", SpecifiedCollections: [] }), /leave it out to send all/);
  assert.match(problem({ Url: "http://b", SpecifiedCollections: "users" }), /must be a list/);
  assert.match(problem({ Url: "http://b", SpecifiedCollections: ["users", 1] }), /must be names/);
  assert.match(problem({ Url: "http://b", SpecifiedCollections: ["_settings"] }), /reserved/);
  assert.match(
    problem({ Url: "http://b", SpecifiedCollection: ["users"] }),
    /SpecifiedCollection is not known/,
  );
  assert.match(problem({ Url: "http://b", Username: "u", Password: "p" }), /is not known/);
  for (const entry of [null, 1, [], "x"]) assert.match(problem(entry), /must be an object/);
});

test("a password in a URL is not told on", () => {
  assert.doesNotMatch(problem({ Url: "http://user:hush@b" }), /hush/);
});

test("the second entry of a URL is skipped, however it is written", () => {
  const { destinations, problems } = read(
    { Url: "http://b/", Database: "x" },
    { Url: "http://B:80/db/x", SpecifiedCollections: ["users"] },
    { Url: "http://b/" },
  );
  assert.deepEqual(destinations.map(({ url }) => url), ["http://b/db/x", "http://b"]);
  assert.deepEqual(problems.map(({ index }) => index), [1]);
  assert.match(problems[0]?.message ?? "", /http:\/\/b\/db\/x is in the list already/);
});

test("a document that cannot be read sends nothing to anybody, and none is none", () => {
  assert.deepEqual(readDestinations(null), { destinations: [], problems: [] });
  for (
    const text of [
      "",
      "{",
      "{}",
      '{"destinations": []}',
      "[]",
      "7",
      '{"Destinations": {}}',
      '{"Destinations": "http://b"}',
    ]
  ) {
    const { destinations, problems } = readDestinations(text);
    assert.deepEqual([destinations, problems.map(({ index }) => index)], [[], [null]], text);
    assert.match(problems[0]?.message ?? "", /^Nothing is sent to anybody: It /);
  }
});

test("as many as there may be", () => {
  const many = Array.from({ length: limits.destinationsMax + 2 }, (_, i) => ({ Url: `http://b${i}` }));
  const { destinations, problems } = read(...many);
  assert.deepEqual([destinations.length, problems.length], [limits.destinationsMax, 2]);
});

test("the key of noted failures: the URL without its scheme, slashes and colons", () => {
  assert.equal(failureKey("http://localhost:8081"), "Raven/Replication/Destinations/localhost8081");
  assert.equal(failureKey("https://b/db/x%20y"), "Raven/Replication/Destinations/bdbx%2520y");
});

test("a follower's leader has the same database at its own address", () => {
  assert.equal(leaderUrl("http://b:1", "http://c:2/"), "http://c:2");
  assert.equal(leaderUrl("http://b:1/db/x", "http://c:2"), "http://c:2/db/x");
  assert.equal(leaderUrl("http://b:1/db/x", "http://c:2/db/x"), "http://c:2/db/x");
  assert.equal(leaderUrl("http://b:1", "https://c:2"), "https://c:2");
  assert.equal(leaderUrl("https://b:1", "http://c:2"), null, "a key does not leave what is encrypted");
  assert.equal(leaderUrl("http://b:1", "nonsense"), null);
});
