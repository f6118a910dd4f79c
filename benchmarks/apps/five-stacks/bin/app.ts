// Five stacks in the shape that `cdk init` gives an app; each needs the one before it.
import * as cdk from 'aws-cdk-lib';
import { Part } from '../lib/part';

const app = new cdk.App();
const env = { account: process.env.CDK_DEFAULT_ACCOUNT, region: process.env.CDK_DEFAULT_REGION };
let before: Part | undefined;
for (const name of ['A', 'B', 'C', 'D', 'E']) {
  before = new Part(app, name, { env, before });
}
