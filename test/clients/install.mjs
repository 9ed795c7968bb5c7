#!/usr/bin/env node
/**
 * Installs the clients ahead of run.mjs, which then finds them there: `node test/clients/install.mjs [names…]`. A client that
 * cannot be installed is left to run.mjs, which tries once more and says why not.
 */
import { CLIENTS, on } from './clients.mjs';

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(CLIENTS);
for (const name of names) {
  const client = CLIENTS[name];
  if (client === undefined || !client.needs.every(on)) continue;
  const began = performance.now();
  let outcome = 'installed';
  try {
    client.install();
  } catch (error) {
    outcome = `not installed: ${error.message.split('\n').at(-1)}`;
  }
  console.log(`${name}: ${outcome}, ${Math.round((performance.now() - began) / 1000)} s`);
}
