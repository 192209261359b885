-- Beside MLflow, which has the database that the server makes.
CREATE DATABASE airflow;
