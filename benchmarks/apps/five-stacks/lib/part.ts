import * as cdk from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

interface PartProps extends cdk.StackProps {
  before?: Part;
}

export class Part extends cdk.Stack {
  readonly topic: sns.Topic;

  constructor(scope: Construct, id: string, props: PartProps) {
    super(scope, id, props);
    const before = props.before?.topic.topicName;
    this.topic = new sns.Topic(this, 'Topic', { displayName: before === undefined ? id : `after ${before}` });
    new sqs.Queue(this, 'Queue');
    new dynamodb.Table(this, 'Table', { partitionKey: { name: 'id', type: dynamodb.AttributeType.STRING } });
    new s3.Bucket(this, 'Bucket');
    new cdk.CfnOutput(this, 'TopicArn', { value: this.topic.topicArn });
  }
}
