import { Catalogue, SCHEMA_TYPE, internalTypeNumber } from './catalogue.js';
import { typePrefix } from './codec/keys.js';
import type { Head, Repository } from './repository.js';
import { VIEW_TYPE } from './schema/views.js';

/** The catalogue as the store's schema events have left it. */
export async function loadCatalogue(repository: Repository): Promise<Catalogue> {
  const types = await headsInOrder(repository, SCHEMA_TYPE);
  const views = await headsInOrder(repository, VIEW_TYPE);
  const catalogue = types.reduce((before, head) => before.with(head.id, head.state), Catalogue.empty);
  return views.reduce((before, head) => before.withLoadedView(head.id, head.state), catalogue);
}

/** In the order they were made, so that the catalogue lists them as they were declared. */
async function headsInOrder(repository: Repository, type: string): Promise<Head[]> {
  const heads: Head[] = [];
  for await (const batch of repository.scans.heads(typePrefix(internalTypeNumber(type))))
    heads.push(...batch);
  return heads.sort((a, b) => a.createdAt - b.createdAt || a.position - b.position);
}
