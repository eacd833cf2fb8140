// Calls to the Jupyter Server part of CNTK Lab (cntk_lab/server.py).
import { ServerConnection } from '@jupyterlab/services';

/** POST to an endpoint of ours; what is wrong comes back in the server's words. */
export async function askServer<T>(settings: ServerConnection.ISettings, endpoint: string, body: object = {}): Promise<T> {
  const response = await ServerConnection.makeRequest(
    `${settings.baseUrl}cntk-lab/${endpoint}`,
    { method: 'POST', body: JSON.stringify(body) },
    settings
  );
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer as T;
  const message = (answer as { message?: unknown } | null)?.message;
  throw new Error(
    typeof message === 'string'
      ? message
      : response.status === 404
        ? 'The CNTK Lab server extension is not enabled (jupyter server extension enable cntk_lab.server).'
        : `the server answered ${response.status}`
  );
}
