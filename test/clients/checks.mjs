/** One line a check, as every client of this directory prints them. */
let failed = 0;

/** A client that waits for an answer that never comes fails that check alone. */
const PATIENCE_MS = 10_000;

function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export async function check(name, body) {
  try {
    await inTime(body());
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    const code = error.code === undefined ? '' : `${error.code} `;
    console.log(`not ok ${name}: ${code}${String(error.message).replace(/\s+/g, ' ')}`);
  }
}

/** The SQLSTATE that `promise` fails with. */
export async function sqlstate(promise) {
  try {
    await promise;
  } catch (error) {
    return error.code;
  }
  return 'no error';
}

export function finish(version) {
  console.log(`# version ${version}`);
  process.exit(failed === 0 ? 0 : 1);
}
